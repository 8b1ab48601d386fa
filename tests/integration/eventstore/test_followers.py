"""The event sourcing library follows our log: its recorder and ProjectionRunner, as docs/follow-the-log.md shows."""

import re
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from eventsourcing.persistence import Tracking
from eventsourcing.popo import POPOTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.conninfo import conninfo_to_dict

from orchestrator.domain.events import RunCancelled, RunStarted
from orchestrator.eventstore.mapper import EventMapper, build_mapper
from orchestrator.eventstore.recorded import Recorded
from orchestrator.eventstore.recorder import LogRecorder
from orchestrator.postgres.sql import load_sql
from tests.integration.eventstore.logs import new_stream, open_database
from tests.waiting import eventually

SQL = load_sql(__file__)
DOCUMENT = Path(__file__).parents[3] / "docs" / "follow-the-log.md"
BLOCKS = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
KEY = "MDEyMzQ1Njc4OTAxMjM0NQ=="
ROUNDS = 60
WRITERS = 6
KINDS = {
    "plain": ({}, EventMapper()),
    "compressed and encrypted": (
        {"COMPRESSOR_TOPIC": "eventsourcing.compressor:ZlibCompressor", "CIPHER_KEY": KEY},
        build_mapper(compress=True, cipher_key=KEY),
    ),
}


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCKS.findall(DOCUMENT.read_text(encoding="utf-8")) if name == language]


@pytest.fixture
def env(database_url: str) -> Iterator[dict[str, str]]:
    """The settings of the document, for a role that may do what the document grants, and no more."""
    place = conninfo_to_dict(database_url)
    role, names = f"reporting_{place['dbname']}", dict[str, Any]()
    (settings,) = (block for block in blocks("python") if "env = {" in block)
    exec(settings.split("with follow")[0], names)
    (grants,) = blocks("sql")
    grants = grants.replace("TO reporting", f"TO {role}").replace("AUTHORIZATION reporting", f"AUTHORIZATION {role}")
    grants = grants.replace("ROLE reporting", f"ROLE {role}")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(grants.encode())
        ours = {"POSTGRES_HOST": place["host"], "POSTGRES_DBNAME": place["dbname"], "POSTGRES_USER": role}
        given = names["env"] | ours | {"POSTGRES_PORT": str(place.get("port") or 5432)}
        yield {name: str(value) for name, value in given.items()}
        connection.execute(SQL.drop.replace("{role}", role).encode())


def write(recorder: LogRecorder, mapper: EventMapper) -> None:
    """Append short streams, one commit each."""
    for _ in range(ROUNDS):
        stream = UUID(new_stream())
        events = [RunStarted(1, "w"), RunStarted(2, "w"), RunCancelled(3, "x", "ann")]
        recorder.insert_events([mapper.store(stream, version, one, "t", "a") for version, one in enumerate(events, 1)])


@contextmanager
def writers(url: str, mapper: EventMapper) -> Iterator[None]:
    """Append from several connections at once, until everything is written."""
    with ExitStack() as stack:
        recorders = [LogRecorder(stack.enter_context(open_database(url))) for _ in range(WRITERS)]
        threads = stack.enter_context(ThreadPoolExecutor(WRITERS))
        writing = [threads.submit(write, recorder, mapper) for recorder in recorders]
        yield
        for one in writing:
            one.result(60)


def until_it_listens(url: str, sessions: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        look = connection.execute
        eventually(
            lambda: look(SQL.listening).fetchone(), 20, "the library listens", right=lambda row: row == (sessions,)
        )


@contextmanager
def program(names: dict[str, Any]) -> Iterator[None]:
    """Run the program of the document until the end of the block, then stop it."""
    names.pop("runner", None)
    (text,) = (block for block in blocks("python") if "env = {" in block)
    thread = threading.Thread(target=exec, args=("with follow" + text.split("with follow")[1], names))
    thread.start()
    try:
        eventually(lambda: "runner" in names or not thread.is_alive(), what="the program follows")
        yield
    finally:
        names["runner"].stop()
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.parametrize("kind", KINDS)
def test_a_projection_of_the_library_follows_live_without_a_gap(
    kind: str, database_url: str, env: dict[str, str]
) -> None:
    options, mapper = KINDS[kind]
    names: dict[str, Any] = {}
    exec(compile(blocks("python")[0], "follow-the-log.md", "exec"), names)
    names["env"] = env | options
    seen: list[Recorded] = []
    expected = WRITERS * ROUNDS * 3

    class Watch(Projection[POPOTrackingRecorder]):
        """Remembers in which order events come."""

        def process_event(self, recorded: Recorded, tracking: Tracking) -> None:  # type: ignore[override]
            assert recorded.position == tracking.notification_id
            seen.append(recorded)
            self.view.insert_tracking(tracking)

    watching: ProjectionRunner[Any, POPOTrackingRecorder] = ProjectionRunner(
        application_class=names["Log"],
        projection_class=Watch,
        view_class=POPOTrackingRecorder,
        env=names["env"] | {"WATCH_PERSISTENCE_MODULE": "eventsourcing.popo"},
    )
    with watching:
        until_it_listens(database_url, 1)
        with writers(database_url, mapper):
            with program(names):
                watching.wait(expected // 3, timeout=60)
            # The program of the document is started again in the middle, and continues where it was.
            with program(names):
                watching.wait(expected, timeout=60)
                names["runner"].wait(expected, timeout=60)
                counted = names["runner"].view.counts()
    assert [recorded.position for recorded in seen] == list(range(1, expected + 1))
    assert counted == {"RunStarted": expected * 2 // 3, "RunCancelled": expected // 3}
    assert Counter(type(recorded.event).__name__ for recorded in seen) == counted
    assert {(recorded.tenant, recorded.actor) for recorded in seen} == {("t", "a")}
    with psycopg.connect(database_url) as connection:
        assert connection.execute(SQL.tables).fetchall() == [("countevents_tracking",), ("event_counts",)]


def test_a_filter_takes_the_names_of_events(database_url: str, env: dict[str, str]) -> None:
    names: dict[str, Any] = {}
    exec(compile(blocks("python")[0], "follow-the-log.md", "exec"), names)
    with open_database(database_url) as database:
        write(LogRecorder(database), EventMapper())

    class Cancels(names["CountEvents"]):  # type: ignore[misc]
        """Counts cancelled runs."""

        topics = ("RunCancelled",)

    runner: ProjectionRunner[Any, Any] = ProjectionRunner(
        application_class=names["Log"], projection_class=Cancels, view_class=names["EventCounts"], env=env
    )
    with runner:
        runner.wait(ROUNDS * 3, timeout=60)
        assert runner.view.counts() == {"RunCancelled": ROUNDS}


def test_what_is_written_through_the_library_is_refused(env: dict[str, str]) -> None:
    names: dict[str, Any] = {}
    exec(compile(blocks("python")[0], "follow-the-log.md", "exec"), names)
    log = names["Log"](env)
    try:
        stored = EventMapper().store(UUID(new_stream()), 1, RunStarted(1, "w"), "t", "a")
        with pytest.raises(Exception, match="permission denied for table events"):
            log.recorder.insert_events([stored])
        assert log.recorder.max_notification_id() is None
    finally:
        log.close()
