"""Command skills: real programs, and nothing of them left afterwards."""

import asyncio
import os
import signal
import stat
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
import uvloop

from orchestrator.artifacts import ArtifactStore
from orchestrator.domain.errors import DomainError
from orchestrator.domain.output import Output
from orchestrator.skills import StepContext, kept
from tests.integration.skills.programs import alive, failed, run
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("way")


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "store"))


async def read_pid(file: Path) -> int:
    return int(await until(lambda: _written(file), 20, f"a pid is in {file.name}") or 0)


def _written(file: Path) -> int | None:
    text = file.read_text() if file.exists() else ""
    return int(text) if text.endswith("\n") else None


async def gone(*pids: int) -> None:
    look = partial(filter, alive, pids)
    await until(lambda: list(look()), 10, "they have ended", right=lambda left: left == [])


# Starts a child that does what it can to live on, writes its pid to a file and runs for ever.
FAMILY = """
import os, signal, subprocess, sys, time
{before}
child = subprocess.Popen([sys.executable, "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"],
    stdout=subprocess.PIPE)
child.stdout.readline()
for name, pid in (("parent", os.getpid()), ("child", child.pid)):
    with open(f"{folder}/{{name}}", "w") as file:
        file.write(f"{{pid}}\\n")
{after}
"""


def family(folder: Path, *, before: str = "", after: str = "time.sleep(600)") -> str:
    return FAMILY.format(folder=folder, before=before, after=after)


class TestSuccess:
    async def test_input_goes_in_and_data_comes_out(self) -> None:
        source = "import json, sys; print(json.dumps({'got': json.load(sys.stdin)}))"
        assert await run(source, value={"a": [1, "ü"]}) == Output({"got": {"a": [1, "ü"]}})

    async def test_silence_is_an_empty_object(self) -> None:
        assert (await run(("true",))).data == {}

    async def test_large_input_and_output(self) -> None:
        value = {"text": "x" * 3_000_000}
        assert (await run(("cat",), value=value)).data == value

    async def test_input_may_be_ignored(self) -> None:
        assert (await run(("echo", "7"), value={"text": "x" * 3_000_000})).data == 7

    async def test_arguments_see_no_shell(self) -> None:
        assert (await run(("printf", '"%s"', "$HOME; `id` && *"))).data == "$HOME; `id` && *"

    async def test_environment_is_what_was_given_and_nothing_else(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SECRET", "secret")
        source = "import json, os; print(json.dumps(dict(os.environ, cwd=os.getcwd())))"
        data = (await run(source, env={"QUALITY": "high"})).data
        workspace = data["cwd"]
        assert data == {
            "PATH": data["PATH"],
            "HOME": workspace,
            "TMPDIR": workspace,
            "LANG": "C.UTF-8",
            "QUALITY": "high",
            "ORCHESTRATOR_RUN_ID": "run",
            "ORCHESTRATOR_STEP_ID": "step",
            "ORCHESTRATOR_ATTEMPT": "2",
            "ORCHESTRATOR_TENANT": "acme",
            "ORCHESTRATOR_IDEMPOTENCY_KEY": StepContext("run", "step").idempotency_key,
            "cwd": workspace,
        }
        assert not Path(workspace).exists()

    async def test_files_in_out_become_artifacts(self, store: ArtifactStore) -> None:
        source = """if True:
            import os
            os.makedirs("out/sub")
            for name in ("b.wav", "a.png", "sub/c.unknown", "d.bin"):
                open("out/" + name, "w").write(name)
            open("scratch", "w").write("not kept")"""
        output = await run(source, store, artifact_types={"*.bin": "game/level", "sub/*": "game/sub"})
        assert [(made.filename, made.type) for made in output.artifacts] == [
            ("a.png", "image/png"),
            ("b.wav", "audio/x-wav"),
            ("d.bin", "game/level"),
            ("sub/c.unknown", "game/sub"),
        ]
        assert store.read(output.artifacts[3]) == b"sub/c.unknown"


class TestFailure:
    @pytest.mark.parametrize("text", ["20000000000000000001", '{"n": [-9007199254740992]}', "[1e999]"])
    async def test_a_number_that_would_change_on_the_way_is_refused(self, text: str) -> None:
        assert (await failed(("printf", "%s", text))).code == "SKILL_OUTPUT_INVALID"

    async def test_exit_code_and_the_end_of_stderr_are_told(self) -> None:
        source = "import sys; sys.stderr.write('x' * 100_000 + 'the end'); sys.exit(3)"
        error = await failed(source)
        assert (error.code, error.retryable, error.details["exitCode"]) == ("SKILL_EXECUTION_FAILED", True, 3)
        assert error.details["stderr"] == "x" * 2041 + "the end"
        assert "exit code 3" in error.message

    @pytest.mark.parametrize(("code", "retryable"), [(75, True), (3, False)])
    async def test_only_declared_exit_codes_are_retried(self, code: int, retryable: bool) -> None:
        error = await failed(f"raise SystemExit({code})", retryable_exit_codes=frozenset({75}))
        assert error.retryable is retryable

    async def test_signal_is_named(self) -> None:
        error = await failed("import os; os.kill(os.getpid(), 9)")
        assert "killed by SIGKILL" in error.message
        assert error.details["exitCode"] == -9

    @pytest.mark.parametrize("program", ["absent-program", "/absent/program", "./absent"])
    async def test_program_that_is_not_there(self, program: str) -> None:
        error = await failed((program,))
        assert (error.code, error.retryable) == ("SKILL_EXECUTION_FAILED", False)
        assert f"'{program}' of test.command cannot be started: No such file" in error.message

    async def test_program_that_may_not_run(self, tmp_path: Path) -> None:
        (tmp_path / "text").write_text("no program")
        (tmp_path / "text").chmod(stat.S_IRUSR)
        assert "Permission denied" in (await failed((str(tmp_path / "text"),))).message

    @pytest.mark.parametrize("text", ["nonsense", "NaN", '{"a": NaN}', "1 2", '{"a": 9007199254740993}'])
    async def test_stdout_must_be_json(self, text: str) -> None:
        assert (await failed(("echo", text))).code == "SKILL_OUTPUT_INVALID"

    async def test_failed_program_leaves_no_artifacts(self, store: ArtifactStore, tmp_path: Path) -> None:
        await failed("open('out/a', 'w').write('x'); raise SystemExit(1)", store)
        assert not (tmp_path / "store").exists()


class TestLimits:
    async def test_too_much_stdout_ends_the_program(self) -> None:
        error = await failed("while True: print('x' * 10_000)", max_stdout_bytes=50_000)
        assert error.code == "SKILL_OUTPUT_INVALID"
        assert "longer than 50000 bytes" in error.message

    async def test_stdout_of_exactly_the_limit_is_taken(self) -> None:
        assert (await run(("printf", '"12345678"'), max_stdout_bytes=10)).data == "12345678"

    async def test_too_large_files_are_refused(self, store: ArtifactStore) -> None:
        error = await failed("open('out/a', 'w').write('x' * 101)", store, max_artifact_bytes=100)
        assert (error.code, "holds 101 bytes" in error.message) == ("SKILL_OUTPUT_INVALID", True)

    @pytest.mark.parametrize(
        "source",
        [
            "import os; os.symlink('/etc/passwd', 'out/a')",
            "import os; os.symlink('/etc', 'out/a')",
            "import os; os.mkfifo('out/a')",
        ],
    )
    async def test_only_plain_files_are_taken(self, store: ArtifactStore, source: str) -> None:
        error = await failed(source, store)
        assert error.message.endswith("out/a is not a plain file")

    async def test_name_that_is_not_text_is_refused(self, store: ArtifactStore) -> None:
        with pytest.raises(DomainError, match="filename"):
            await run("open(b'out/\\xff', 'w').write('x')", store)


class TestEnd:
    async def test_timeout_kills_the_whole_family(self, tmp_path: Path) -> None:
        error = await failed(family(tmp_path), timeout_ms=3000, grace_ms=5000)
        assert error.code == "SKILL_TIMEOUT"
        await gone(await read_pid(tmp_path / "parent"), await read_pid(tmp_path / "child"))

    async def test_cancel_asks_first(self, tmp_path: Path) -> None:
        polite = f"signal.signal(signal.SIGTERM, lambda *_: (open('{tmp_path}/asked', 'w'), sys.exit()))"
        task = asyncio.create_task(run(family(tmp_path, before=polite)))
        pids = [await read_pid(tmp_path / name) for name in ("parent", "child")]
        started = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - started < 4  # it did not wait for all of the grace
        assert (tmp_path / "asked").exists()
        await gone(*pids)

    async def test_program_that_ignores_the_request_is_killed(self, tmp_path: Path) -> None:
        deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
        task = asyncio.create_task(run(family(tmp_path, before=deaf), grace_ms=300))
        pids = [await read_pid(tmp_path / name) for name in ("parent", "child")]
        started = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert 0.3 <= time.monotonic() - started < 4
        await gone(*pids)

    async def test_what_a_finished_program_leaves_running_is_killed(self, tmp_path: Path) -> None:
        output = await asyncio.wait_for(run(family(tmp_path, after="print(7)")), 20)
        assert output.data == 7
        await gone(await read_pid(tmp_path / "child"))

    async def test_descendant_that_left_the_group_does_not_hold_up_the_step(self, tmp_path: Path) -> None:
        source = f"""if True:
            import subprocess
            child = subprocess.Popen(["sleep", "30"], start_new_session=True)
            open("{tmp_path}/child", "w").write(f"{{child.pid}}\\n")
            print(7, flush=True)"""
        output = await asyncio.wait_for(run(source), 10)
        child = await read_pid(tmp_path / "child")
        assert output.data == 7
        assert alive(child) is not kept.IS_AVAILABLE
        if alive(child):
            os.kill(child, signal.SIGKILL)

    async def test_many_at_once(self, tmp_path: Path) -> None:
        outputs = await asyncio.gather(*(run(("cat",), value=number) for number in range(30)))
        assert [output.data for output in outputs] == list(range(30))


@pytest.mark.parametrize("scenario", [name for name in vars(TestEnd) if name.startswith("test_")])
def test_ends_are_the_same_on_uvloop(scenario: str, tmp_path: Path) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(getattr(TestEnd(), scenario)(tmp_path))


def test_declared_environment_cannot_pose_as_another_run() -> None:
    given: Mapping[str, str] = {"ORCHESTRATOR_RUN_ID": "other"}
    source = "import os; print('\"' + os.environ['ORCHESTRATOR_RUN_ID'] + '\"')"
    assert asyncio.run(run(source, env=given)).data == "run"
