"""The one way in which tests wait: look again and again until it is so, and say what was seen last if it never is.

`eventually` is for plain functions, `until` for coroutines:

    eventually((home / "made").exists, what="the skill has begun", shows=lambda: worker.err)
    run = await until(lambda: world.folded(run_id), right=lambda run: run.is_finished, what="the run is over")

Both return what was seen when it was right. `right` says when that is; without it, whatever is true is right. Give it
where the value says more than False does, because the error shows the value. Where no value says anything, `shows`
returns what the error shows instead.
"""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar, cast

T = TypeVar("T")

_FIRST_PAUSE, _LAST_PAUSE = 0.002, 0.025
_SHOWN = 5000


def eventually(
    condition: Callable[[], T],
    seconds: float = 60.0,
    what: str = "it is so",
    right: Callable[[T], Any] = bool,
    shows: Callable[[], Any] | None = None,
) -> T:
    """Wait until the condition is right, and return what it gave."""
    deadline = time.monotonic() + seconds
    pauses = _pauses()
    while not right(seen := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(_in_vain(what, seconds, seen, shows))
        time.sleep(next(pauses))
    return seen


async def until(
    condition: Callable[[], T] | Callable[[], Awaitable[T]],
    seconds: float = 60.0,
    what: str = "it is so",
    right: Callable[[T], Any] = bool,
    shows: Callable[[], Any] | None = None,
) -> T:
    """Wait until the condition is right, and return what it gave. It may be a coroutine; one that hangs is given up."""
    seen: Any = "nothing: it gave no answer"
    try:
        async with asyncio.timeout(seconds) as limit:
            for pause in _pauses():
                answer = condition()
                seen = await answer if inspect.isawaitable(answer) else answer
                if right(seen):
                    return cast("T", seen)
                await asyncio.sleep(pause)
    except TimeoutError:
        if not limit.expired():
            raise  # the condition's own
    raise AssertionError(_in_vain(what, seconds, seen, shows))


def _pauses() -> Iterator[float]:
    """Short ones first: most of what tests wait for is soon so."""
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * 1.3, _LAST_PAUSE)


def _in_vain(what: str, seconds: float, seen: Any, shows: Callable[[], Any] | None) -> str:
    shown = repr(seen) if shows is None else str(shows())
    return f"waited {seconds:g} s in vain until {what}; seen last: {shown[-_SHOWN:]}"
