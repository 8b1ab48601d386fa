"""What goes into a program and what comes out, whatever it does with its ends: the exit code decides."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop

from tests.integration.skills.programs import failed, run

pytestmark = pytest.mark.usefixtures("way")

Run = Callable[[Coroutine[Any, Any, Any]], Any]
SIZES = (0, 100, 30_000, 3_000_000)
TIMES = 25


@pytest.fixture(params=[uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def on_loop(request: pytest.FixtureRequest) -> Iterator[Run]:
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


async def all_of(*calls: Coroutine[Any, Any, Any]) -> list[Any]:
    return await asyncio.gather(*calls)


@pytest.mark.parametrize("size", SIZES)
def test_a_program_that_does_not_read_its_input(on_loop: Run, size: int) -> None:
    value = "x" * size
    outputs = on_loop(all_of(*(run(("/bin/true",), value=value) for _ in range(TIMES))))
    assert [output.data for output in outputs] == [{}] * TIMES


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "script",
    [
        "echo why >&2; exit 75",
        "exec <&-; echo why >&2; exit 75",  # it closes stdin
        "exec >&-; echo why >&2; exit 75",  # it closes stdout
        "head -c 10 >/dev/null; echo why >&2; exit 75",  # it reads part of stdin
        "cat >/dev/null; echo why >&2; exit 75",
    ],
)
def test_a_program_that_fails_whatever_it_read(on_loop: Run, size: int, script: str) -> None:
    error = on_loop(failed(("sh", "-c", script), value="x" * size, retryable_exit_codes=frozenset({75})))
    assert (error.code, error.retryable) == ("SKILL_EXECUTION_FAILED", True)
    assert error.details == {"exitCode": 75, "stderr": "why\n"}


@pytest.mark.parametrize(
    "script",
    [
        "exec <&-; sleep 0.1; echo 7",
        "echo 7; exec >&- 2>&-; cat >/dev/null",  # all is said before stdin is read
        "head -c 100000 >/dev/null; exec <&-; sleep 0.1; echo 7",
        "exec 2>&-; echo 7",
        "sleep 0.2; cat >/dev/null; echo 7",
    ],
)
def test_ends_may_be_closed_early(on_loop: Run, script: str) -> None:
    assert on_loop(run(("sh", "-c", script), value="x" * 3_000_000)).data == 7


def test_much_on_every_end_at_once(on_loop: Run) -> None:
    source = """if True:
        import sys, threading
        def complain():
            for _ in range(500):
                sys.stderr.write("e" * 10_000)
        other = threading.Thread(target=complain)
        other.start()
        sys.stdout.write('"')
        while chunk := sys.stdin.read(10_000):
            sys.stdout.write("o" * 10_000)
        sys.stdout.write('"')
        other.join()
        sys.stderr.write("the end")"""
    outputs = on_loop(all_of(*(run(source, value="x" * 5_000_000) for _ in range(3))))
    assert [len(output.data) >= 5_000_000 for output in outputs] == [True] * 3


def test_fifty_megabytes_in(on_loop: Run) -> None:
    size = 50_000_000
    assert on_loop(run(("wc", "-c"), value="x" * size)).data == size + len('""')


def test_fifty_megabytes_out(on_loop: Run) -> None:
    """They arrive; that they are too large for a result is said only then."""
    error = on_loop(failed("print('\"' + 'x' * 50_000_000 + '\"')", max_stdout_bytes=60_000_000))
    assert (error.code, "too large" in error.message) == ("SKILL_OUTPUT_INVALID", True)
