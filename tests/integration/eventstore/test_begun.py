"""Events run by run: part for part of the log, as a rebuild reads them."""

from collections.abc import Iterator
from itertools import groupby

import pytest
from eventsourcing.persistence import StoredEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.eventstore.log import PostgresLog
from orchestrator.eventstore.recorder import RunRow
from tests.integration.eventstore.logs import new_stream, open_log
from tests.servers import Databases

NAMES = ("StepStarted", "StepCompleted", "RunCompleted")
TOPICS = ("RunTriggered", "RunCompleted")


@pytest.fixture(scope="module")
def log(databases: Databases, template_database: str) -> Iterator[PostgresLog]:
    """One log for all tests: each reads on from where it found it."""
    name = databases.create(template_database)
    with open_log(databases.url(name)) as opened:
        yield opened
    databases.drop(name)


def write(log: PostgresLog, order: list[tuple[int, str]]) -> int:
    """Append an event for each `(run, name)`, in this order; return the position before the first.

    A run begins with RunTriggered, and run 0 is no run: it begins with the registration of a workflow.
    """
    start = log.last_position()
    streams: dict[int, str] = {}
    versions: dict[int, int] = {}
    for run, name in order:
        stream = streams.setdefault(run, new_stream())
        versions[run] = version = versions.get(run, 0) + 1
        first = "RunTriggered" if run else "WorkflowRegistered"
        topic = first if version == 1 else name
        log.recorder.insert_events([StoredEvent(stream, version, topic, f"{run}/{version}".encode())])
    return start


def asked_for(rows: list[RunRow], after: int, until: int, goal: int) -> set[RunRow]:
    """Return what is to be found, from all rows there are."""
    seen = [row for row in rows if row[4] <= goal]
    begun = {row[0] for row in seen if row[2] == "RunTriggered" and after < row[4] <= until}
    latest = {stream: max(row[1] for row in seen if row[0] == stream) for stream in begun}
    return {row for row in seen if row[0] in begun and (row[2] in TOPICS or row[1] == latest[row[0]])}


@settings(max_examples=40)
@given(
    order=st.lists(st.tuples(st.integers(0, 4), st.sampled_from(NAMES)), min_size=1, max_size=30),
    part=st.integers(1, 12),
    ahead=st.integers(0, 5),
)
def test_every_part_has_what_its_runs_need(
    log: PostgresLog, order: list[tuple[int, str]], part: int, ahead: int
) -> None:
    start = write(log, order)
    goal = max(start + 1, start + len(order) - ahead)
    everything = [(str(stream), *rest) for stream, *rest in log.recorder.log_rows(start, len(order))]
    for after in range(start, goal, part):
        until = min(goal, after + part)
        found = list(log.recorder.begun_rows(after, until, goal, TOPICS))
        assert len(found) == len(set(found))
        assert set(found) == asked_for(everything, after, until, goal)
        runs = [run for run, _ in groupby(found, lambda row: row[0])]
        assert len(runs) == len(set(runs)), "the events of a run come together"
        whole = list(log.recorder.begun_rows(after, until, goal, None))
        assert set(whole) == {row for row in everything if row[0] in set(runs) and row[4] <= goal}
        assert len({run for run, _ in groupby(whole, lambda row: row[0])}) == len(runs)
