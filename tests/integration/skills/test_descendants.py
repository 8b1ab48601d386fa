"""Nothing that a program starts outlives its attempt, wherever it went: another group, another session, a daemon."""

import asyncio
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import uvloop

from orchestrator.skills import close_nursery
from tests.integration.skills.programs import alive, failed, run
from tests.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="keepers are child subreapers, which only Linux has")

# Each starts one process that writes its pid to the file `pid` in the folder given, and would live for ten minutes.
STAY = """import os, signal, time
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
with open("draft", "w") as file:
    file.write(str(os.getpid()))
os.rename("draft", "pid")
time.sleep(600)
"""
STAYS = f"{sys.executable} -c {shlex.quote(STAY)}"
ESCAPES = {
    "child": f"{STAYS} &",
    "own session": f"setsid {STAYS} &",
    "no environment": f"env -i setsid {STAYS} >/dev/null 2>&1 </dev/null &",
    "daemon": f"( ( setsid {STAYS} >/dev/null 2>&1 </dev/null & ) & ) &",
    "daemon that holds stdout": f"( ( setsid {STAYS} & ) & ) &",
    "below a parent that left": f"( setsid sh -c {shlex.quote(STAYS + ' & wait')} & ) &",
}
WAIT = "while [ ! -f pid ]; do sleep 0.01; done;"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture(params=[uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner


async def pid_in(folder: Path) -> int:
    await until((folder / "pid").exists, what="it has begun")
    return int((folder / "pid").read_text())


@pytest.mark.parametrize("escape", ESCAPES.values(), ids=ESCAPES)
@pytest.mark.parametrize("end", ["success", "failure", "timeout", "cancel", "too much output"])
def test_it_ends_with_the_attempt(runner: asyncio.Runner, folder: Path, escape: str, end: str) -> None:
    async def scene() -> None:
        finale = {"success": "exit 0", "failure": "exit 3", "too much output": "yes"}.get(end, "exec sleep 600")
        command = ("sh", "-c", f"cd {folder}; {escape} {WAIT} {finale}")
        match end:
            case "success":
                assert (await run(command)).data == {}
            case "failure":
                assert (await failed(command)).details["exitCode"] == 3
            case "too much output":
                assert (await failed(command, max_stdout_bytes=1000)).code == "SKILL_OUTPUT_INVALID"
            case "timeout":
                for timeout_ms in (1000, 10_000, 60_000):  # as long as it takes to start them here
                    assert (await failed(command, timeout_ms=timeout_ms, grace_ms=100)).code == "SKILL_TIMEOUT"
                    if (folder / "pid").exists():
                        break
            case "cancel":
                task = asyncio.create_task(run(command, grace_ms=100))
                await pid_in(folder)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
        assert not alive(await pid_in(folder))

    runner.run(scene())


async def test_many_generations_end(folder: Path) -> None:
    source = f"""if True:
        import os, time
        for _ in range(30):  # a chain of sessions: each process starts the next one
            with open("{folder}/pids", "a") as file:
                file.write(f"{{os.getpid()}}\\n")
            if os.fork():
                break
            os.setsid()
        time.sleep(600)"""
    task = asyncio.create_task(run(source, grace_ms=0))

    def begun() -> list[int]:
        file = folder / "pids"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    pids = await until(begun, what="all generations have begun", right=lambda pids: len(pids) >= 30)
    task.cancel()
    await asyncio.wait([task])
    assert not [pid for pid in pids if alive(pid)]


async def test_neighbours_are_left_alone(folder: Path) -> None:
    """The keeper of one program ends what is its own, and nothing of another's."""
    long = asyncio.create_task(run(("sh", "-c", f"cd {folder}; {ESCAPES['daemon']} {WAIT} exec sleep 600")))
    pid = await pid_in(folder)
    for _ in range(5):
        await run(("sh", "-c", "setsid sleep 60 & exit 0"))
        assert alive(pid)
    long.cancel()
    await asyncio.wait([long])
    assert not alive(pid)


@pytest.mark.parametrize("victim", ["$PPID", "$(cut -d' ' -f4 /proc/$PPID/stat)"], ids=["keeper", "nursery"])
async def test_a_program_that_kills_those_above_it_gains_nothing(folder: Path, victim: str) -> None:
    escape = ESCAPES["daemon"]
    program = run(("sh", "-c", f"cd {folder}; {escape} {WAIT} kill -9 {victim}; exec sleep 600"), timeout_ms=3000)
    with pytest.raises(Exception):  # noqa: B017, PT011 - how it fails depends on whom it killed
        await program
    pid = await pid_in(folder)
    await until(lambda: not alive(pid), 30, "the descendant has ended")
    assert (await run(("echo", "7"))).data == 7, "the next program finds a nursery"


WORKER = """
import asyncio, sys
sys.path.insert(0, sys.argv[2])
from tests.integration.skills.programs import run
asyncio.run(run(("sh", "-c", sys.argv[1])))
"""


async def test_it_ends_with_a_worker_that_is_killed(folder: Path) -> None:
    root = str(Path(__file__).parents[3])
    script = f"cd {folder}; {ESCAPES['daemon']} {WAIT} exec sleep 600"
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", WORKER, script, root, cwd=root)
    pid = await pid_in(folder)
    worker.kill()
    await worker.wait()
    await until(lambda: not alive(pid), 30, "the descendant has ended")


async def test_no_process_is_left_when_the_nursery_is_closed() -> None:
    await run(("true",))
    close_nursery()
    assert not [child for child in psutil.Process().children() if "keeper.py" in " ".join(child.cmdline())]
    assert (await run(("echo", "7"))).data == 7
