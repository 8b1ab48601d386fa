"""The short form: a few faults, everything that is checked. `make soak MINUTES=30 SEED=1` is the long one."""

from pathlib import Path

import pytest

from tests.soak.__main__ import soak

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]


async def test_a_few_faults_of_each_sort(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A process is killed, the primary lost, answers are lost, a cache is gone, a skill is rude."""
    faults = ("kill_worker", "stop_api", "failover", "lose_answers", "kill_valkey", "rude_skills")
    assert await soak(data_dir, seed=1, minutes=0, only=faults) == []
    told = capsys.readouterr().out
    assert "orchestrator replay --check --all: exit code 0" in told
    assert all(name in told for name in faults), told
