"""Child processes of the process executor: messages of any size both ways, and nothing left of what skills start."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvloop

from orchestrator.artifacts import ArtifactStore
from orchestrator.skills import SkillCall, SkillError, SkillRegistry
from orchestrator.workers.processes import ProcessExecutor
from tests.waiting import until

SKILLS = """
import os, subprocess, sys, threading, time
from orchestrator import skill

STAY = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"

@skill("x.echo")
def echo(given):
    return given

@skill("x.large")
def large(size):
    return "x" * size

@skill("x.count")
def count(given):
    return len(given)

@skill("x.chatty")
def chatty(given, ctx):
    def talk():
        for number in range(200):
            ctx.progress(number / 200, "word " * 200)
    threads = [threading.Thread(target=talk) for _ in range(4)]
    for one in threads:
        one.start()
    for number in range(5):
        ctx.artifact(os.urandom(300_000), "x", f"{number}")
    for one in threads:
        one.join()
    return given

def start(given):
    stays = subprocess.Popen([sys.executable, "-c", STAY], stdout=subprocess.PIPE, start_new_session=True)
    stays.stdout.readline()
    if os.fork() == 0:  # a daemon, which holds every file of ours
        os.setsid()
        if os.fork() == 0:
            with open(f"{given['folder']}/daemon", "w") as file:
                file.write(f"{os.getpid()}\\n")
            time.sleep(600)
        os._exit(0)
    with open(f"{given['folder']}/child", "w") as file:
        file.write(f"{stays.pid}\\n")
    while not os.path.exists(f"{given['folder']}/daemon"):
        time.sleep(0.01)
    with open(f"{given['folder']}/own", "w") as file:
        file.write(f"{os.getpid()}\\n")

@skill("x.leaves")
def leaves(given):
    start(given)
    match given["end"]:
        case "success":
            return 7
        case "failure":
            raise ValueError
        case "crash":
            os._exit(9)
        case _:
            time.sleep(600)
"""
LARGEST = 30_000_000
Work = Callable[[ProcessExecutor], Awaitable[None]]


@pytest.fixture(params=[uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def perform(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Work], None]:
    """Do something with an executor of two children, on either event loop."""
    (tmp_path / "skills.py").write_text(SKILLS)

    def run(work: Work) -> None:
        async def scene() -> None:
            async with opened(tmp_path) as executor:
                await work(executor)

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(scene())

    return run


@asynccontextmanager
async def opened(folder: Path, **options: Any) -> AsyncIterator[ProcessExecutor]:
    sources = (str(folder / "skills.py"),)
    registry = SkillRegistry()
    registry.load_modules(sources)
    url = str(folder / "store")
    executor = ProcessExecutor(
        registry,
        ArtifactStore(url, spill_bytes=1 << 30),
        sources=sources,
        make_sink=partial(ArtifactStore, url),
        size=2,
        grace_seconds=0.5,
        **options,
    )
    try:
        yield executor
    finally:
        await executor.close()


def call(skill: str, value: Any = None, timeout_ms: int | None = None) -> SkillCall:
    return SkillCall("run", "step", 1, "acme", skill, value, timeout_ms)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def pid_in(file: Path) -> int:
    await until(lambda: file.exists() and file.read_text().endswith("\n"), what=f"a pid is in {file.name}")
    return int(file.read_text())


async def failure(executor: ProcessExecutor, given: dict[str, str]) -> SkillError:
    """Return how a call failed that had begun; those that are to be timed out get longer each time."""
    for timeout_ms in (1500, 10_000, 60_000) if given["end"] == "timeout" else (None,):
        with pytest.raises(SkillError) as caught:
            await executor.execute(call("x.leaves", given, timeout_ms))
        if Path(given["folder"], "own").exists():
            break
    return caught.value


@pytest.mark.parametrize("size", [0, 30_000, 65_536, 1_000_000])
def test_messages_of_any_size_come_through(perform: Callable[[Work], None], size: int) -> None:
    async def work(executor: ProcessExecutor) -> None:
        value = "x" * size
        for _ in range(8):  # the first begins while the child starts, the others find it idle
            outputs = await asyncio.gather(*(executor.execute(call("x.echo", value)) for _ in range(4)))
            assert [output.data for output in outputs] == [value] * 4

    perform(work)


def test_fifty_megabytes_come_through(perform: Callable[[Work], None]) -> None:
    async def work(executor: ProcessExecutor) -> None:
        size = 50_000_000
        assert (await executor.execute(call("x.count", "x" * size))).data == size
        # Larger results are refused, whichever way they come; this is how long text may be.
        assert (await executor.execute(call("x.large", LARGEST))).data == "x" * LARGEST

    perform(work)


def test_the_loop_goes_on_while_a_large_message_is_under_way(perform: Callable[[Work], None]) -> None:
    """A child that is stopped reads nothing: only its own call waits for it."""

    async def work(executor: ProcessExecutor) -> None:
        await asyncio.gather(executor.execute(call("x.count", "")), executor.execute(call("x.count", "")))
        stopped = [child for child in psutil.Process().children(recursive=True) if not child.children()]
        for child in stopped:
            child.suspend()
        sending = [asyncio.create_task(executor.execute(call("x.count", "x" * 10_000_000))) for _ in range(2)]
        for _ in range(100):
            await asyncio.sleep(0)
        assert not any(task.done() for task in sending)
        for child in stopped:
            child.resume()
        assert [(await task).data for task in sending] == [10_000_000] * 2

    perform(work)


async def test_progress_and_artifacts_come_with_a_large_result(tmp_path: Path) -> None:
    (tmp_path / "skills.py").write_text(SKILLS)
    heard: list[tuple[str, float, str]] = []

    def report(call: SkillCall, fraction: float, message: str) -> None:
        heard.append((call.step_id, fraction, message))

    async with opened(tmp_path, on_progress=report) as executor:
        value = "x" * 2_000_000
        output = await executor.execute(call("x.chatty", value))
    assert output.data == value
    assert [artifact.filename for artifact in output.artifacts] == ["0", "1", "2", "3", "4"]
    assert len(heard) == 800
    assert heard[0] == ("step", 0.0, "word " * 200)


@pytest.mark.skipif(sys.platform != "linux", reason="keepers are child subreapers, which only Linux has")
@pytest.mark.parametrize("end", ["success", "failure", "crash", "timeout", "cancel"])
def test_nothing_a_skill_started_outlives_its_attempt(
    perform: Callable[[Work], None], tmp_path: Path, end: str
) -> None:
    async def work(executor: ProcessExecutor) -> None:
        given = {"folder": str(tmp_path), "end": end}
        if end == "success":
            assert (await executor.execute(call("x.leaves", given))).data == 7
        elif end == "cancel":
            task = asyncio.create_task(executor.execute(call("x.leaves", given)))
            await pid_in(tmp_path / "own")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            error = await failure(executor, given)
            codes = {"failure": "SKILL_EXECUTION_FAILED", "crash": "WORKER_LOST", "timeout": "SKILL_TIMEOUT"}
            assert error.code == codes[end]
            if end == "crash":
                assert error.message == "the process of x.leaves ended with exit code 9"
        pids = [await pid_in(tmp_path / name) for name in ("child", "daemon")]
        assert [pid for pid in pids if alive(pid)] == []
        assert alive(await pid_in(tmp_path / "own")) is (end in ("success", "failure"))
        assert (await executor.execute(call("x.echo", 1))).data == 1

    perform(work)


async def test_the_signal_that_ended_a_child_is_named(tmp_path: Path) -> None:
    (tmp_path / "skills.py").write_text(SKILLS)
    async with opened(tmp_path) as executor:
        task = asyncio.create_task(executor.execute(call("x.leaves", {"folder": str(tmp_path), "end": "never"})))
        os.kill(await pid_in(tmp_path / "own"), signal.SIGSEGV)
        with pytest.raises(SkillError, match=r"the process of x\.leaves was killed by SIGSEGV") as caught:
            await task
        assert (caught.value.code, caught.value.retryable) == ("WORKER_LOST", True)
        for name in ("child", "daemon"):
            assert not alive(await pid_in(tmp_path / name))


async def test_a_call_that_is_cancelled_while_its_child_starts_leaves_a_child_for_the_next(tmp_path: Path) -> None:
    (tmp_path / "skills.py").write_text(SKILLS)
    async with opened(tmp_path) as executor:
        for _ in range(3):
            task = asyncio.create_task(executor.execute(call("x.echo", 1)))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert (await executor.execute(call("x.echo", 2))).data == 2
    left = [" ".join(child.cmdline()) for child in psutil.Process().children()]
    assert not [words for words in left if "spawn_main" in words]
