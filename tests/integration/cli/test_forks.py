"""Programs that the tests fork are like those that an interpreter starts."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.waiting import eventually
from tests.world.forks import Forked, can_fork
from tests.world.programs import Program, call, environment

WORDS = [
    ("--version",),
    ("runs", "list", "--data-dir", "nowhere"),
    ("runs", "list", "--nonsense"),
    ("workflows", "validate", "-"),
    ("skills", "list", "--skills", "missing.py"),
]


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_they_say_and_return_the_same(words: tuple[str, ...], tmp_path: Path) -> None:
    forked, imported = (call(*words, given="steps: 1", cwd=tmp_path, imports=imports) for imports in (False, True))
    assert (forked.code, forked.out, forked.err) == (imported.code, imported.out, imported.err)
    assert 0 < forked.cpu_seconds < imported.cpu_seconds


def test_they_have_their_own_environment_and_folder(tmp_path: Path) -> None:
    assert f"{tmp_path}/there" in call("runs", "list", env={"ORCHESTRATOR_DATA_DIR": f"{tmp_path}/there"}).err
    (tmp_path / "orchestrator.toml").write_text("")
    first = call("runs", "list", "--data-dir", "here", cwd=tmp_path).err
    assert "here" in first
    assert call("runs", "list", env={"ORCHESTRATOR_DATA_DIR": f"{tmp_path}/else"}).err != first


def test_they_are_ended_by_signals(database_url: str, tmp_path: Path) -> None:
    env = {"ORCHESTRATOR_DATABASE_URL": database_url, "ORCHESTRATOR_DATA_DIR": str(tmp_path), "ORCHESTRATOR_PORT": "0"}
    with Program("projector", env=env) as program:
        assert isinstance(program.process, Forked)
        program.ready()
        assert program.process.poll() is None
        assert program.stop() == 0
    with Program("projector", env=env) as program:
        program.ready()
        os.kill(program.process.pid, signal.SIGKILL)
        assert program.wait() == -signal.SIGKILL


def test_one_that_does_not_end_is_waited_for_so_long(database_url: str, tmp_path: Path) -> None:
    env = {"ORCHESTRATOR_DATABASE_URL": database_url, "ORCHESTRATOR_DATA_DIR": str(tmp_path)}
    with Program("projector", env=env) as program, pytest.raises(subprocess.TimeoutExpired):
        program.process.wait(0.05)


def test_what_an_interpreter_reads_at_its_start_needs_one() -> None:
    assert can_fork(environment())
    for name in ("PYTHONPATH", "PYTHONUNBUFFERED", "LC_ALL", "TZ"):
        assert not can_fork({**environment(), name: "something"})


def test_they_end_with_the_tests() -> None:
    """The process that forks them sees the end of its socket, whatever ended the tests."""
    program = "from tests.world import forks, programs\nprograms.call('--version')\nprint(forks._server().process.pid)"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    eventually(lambda: not psutil.pid_exists(int(told)), what="it has ended", right=bool)
