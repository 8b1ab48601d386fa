"""Logs of every release so far: each event can be read, would be decided by this program, and comes to what it did."""

import json
from pathlib import Path

import pytest

from orchestrator.audit.histories import HistoriesAudit
from orchestrator.audit.transfer.export import read_export
from orchestrator.eventstore.codec import NAMES
from orchestrator.eventstore.mapper import EventMapper
from tests.golden.states import LOGS, events, states

GOLDEN = sorted(LOGS.glob("*.jsonl"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_log_is_accepted_for_ever(path: Path) -> None:
    audit = HistoriesAudit(EventMapper())
    assert list(audit.faults(read_export(path))) == []
    assert audit.runs > 0


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_its_runs_come_to_what_they_did(path: Path) -> None:
    assert states(path) == json.loads(path.with_suffix(".states.json").read_text())


def test_every_kind_of_event_and_every_end_is_in_one() -> None:
    assert len(GOLDEN) >= 3
    kinds = {NAMES[type(one.event)] for path in GOLDEN for one in events(path)}
    assert kinds == set(NAMES.values())
    ends = {run["status"] for path in GOLDEN for run in states(path).values()}
    assert ends >= {"completed", "failed", "cancelled", "blocked", "queued"}
