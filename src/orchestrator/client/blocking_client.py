"""The blocking client: each method runs the coroutine of the same name in `Calls` to completion.

No call is implemented twice. On the blocking wire the coroutines never suspend, and each method takes its types from
its coroutine. A test checks that no call is missing here.
"""

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import httpx

from orchestrator.client.async_client import DEFAULT_SERVER
from orchestrator.client.calls import Calls
from orchestrator.client.wire import BlockingWire, finish

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(
    call: Callable[Concatenate[Calls, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate["Client", P], T]:
    """Turn a coroutine method into a blocking method."""

    @wraps(call)
    def method(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return finish(call(self._calls, *args, **kwargs))

    return method


def _iterating(
    call: Callable[Concatenate[Calls, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate["Client", P], Iterator[T]]:
    """Turn an async generator method into a method that returns an iterator."""

    @wraps(call)
    def method(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        items = call(self._calls, *args, **kwargs)
        try:
            while True:
                try:
                    item = finish(_next(items))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            finish(items.aclose())

    return method


async def _next(items: AsyncGenerator[T, None]) -> T:
    return await anext(items)


class Client:
    """Client for programs without an event loop. It keeps connections open, so use it as a context manager.

    It takes the same arguments as `AsyncClient`. Several threads may use one client at the same time.

    >>> with Client(server) as client:
    ...     run = client.wait(client.trigger("hello.v1", {"name": "Ada"})["runId"])
    >>> run["status"]
    'completed'
    """

    def __init__(
        self, server: str = DEFAULT_SERVER, *, key: str | None = None, timeout: float = 30.0, tries: int = 6
    ) -> None:
        self._calls = Calls(BlockingWire(httpx.Client()), server, key=key, timeout=timeout, tries=tries)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        finish(self._calls.close())

    trigger = _blocking(Calls.trigger)
    trigger_many = _blocking(Calls.trigger_many)
    update = _blocking(Calls.update)
    plan = _blocking(Calls.plan)
    retry = _blocking(Calls.retry)
    cancel = _blocking(Calls.cancel)
    delete_run = _blocking(Calls.delete_run)
    run = _blocking(Calls.run)
    wait = _blocking(Calls.wait)
    events = _iterating(Calls.events)
    history = _iterating(Calls.history)
    logs = _iterating(Calls.logs)
    runs = _iterating(Calls.runs)
    run_page = _blocking(Calls.run_page)
    steps = _blocking(Calls.steps)
    step_page = _blocking(Calls.step_page)
    step = _blocking(Calls.step)
    event_page = _blocking(Calls.event_page)
    step_data = _blocking(Calls.step_data)
    download_data = _blocking(Calls.download_data)
    artifacts = _blocking(Calls.artifacts)
    content = _blocking(Calls.content)
    download = _blocking(Calls.download)
    cache_analysis = _blocking(Calls.cache_analysis)
    workflows = _blocking(Calls.workflows)
    workflow_graph = _blocking(Calls.workflow_graph)
    workflow = _blocking(Calls.workflow)
    register = _blocking(Calls.register)
    retire_workflow = _blocking(Calls.retire_workflow)
    restore_workflow = _blocking(Calls.restore_workflow)
    projections = _blocking(Calls.projections)
    rebuild = _blocking(Calls.rebuild)
    me = _blocking(Calls.me)
    live = _blocking(Calls.live)
    ready = _blocking(Calls.ready)
    queues = _blocking(Calls.queues)
