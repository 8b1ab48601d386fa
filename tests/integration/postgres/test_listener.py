"""Wake-ups: handed on at once, and after a lost connection everybody is called to look for themselves."""

import time
from collections.abc import Callable, Iterator
from queue import Queue
from threading import Event
from typing import Any

import psycopg
import pytest
from uuid_utils import uuid7

from orchestrator.postgres.listener import CACHE, CHANNELS, EVENTS, QUEUE, Listener
from orchestrator.postgres.sql import load_sql
from tests.integration.eventstore.logs import append, new_stream, open_log
from tests.servers import Databases
from tests.waiting import eventually

SQL = load_sql(__file__)


@pytest.fixture(scope="module")
def database_url(databases: Databases, template_database: str) -> Iterator[str]:
    """One database for all tests of this module: each looks at a listener of its own."""
    name = databases.create(template_database)
    yield databases.url(name)
    databases.drop(name)


@pytest.fixture
def name() -> str:
    """What the listener's connection is called."""
    return f"listener-{uuid7()}"


@pytest.fixture
def listener(database_url: str, name: str) -> Iterator[Listener]:
    made = Listener(f"{database_url}&application_name={name}")
    yield made
    made.stop()


@pytest.fixture
def ask(database_url: str) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield lambda block, *parameters: connection.execute(SQL[block], parameters or None).fetchall()


FIRST = dict.fromkeys(CHANNELS, "") | {EVENTS: "0"}
"""What callbacks are called with when the connection was made, and nothing was ever appended."""


def heard(listener: Listener, channel: str) -> "Queue[str]":
    queue: Queue[str] = Queue()
    listener.on(channel, queue.put)
    return queue


@pytest.mark.parametrize("channel", CHANNELS)
def test_each_channel_is_handed_on(listener: Listener, ask: Callable[..., Any], channel: str) -> None:
    others = {other: heard(listener, other) for other in CHANNELS if other != channel}
    queue = heard(listener, channel)
    listener.start()
    assert queue.get(timeout=10) == FIRST[channel], "at first everybody looks for themselves"
    ask("notify", channel, "17")
    assert queue.get(timeout=10) == "17"
    for other, missed in others.items():
        assert missed.get(timeout=10) == FIRST[other]
        assert missed.empty()


def test_none_of_many_is_lost(listener: Listener, ask: Callable[..., Any]) -> None:
    queue = heard(listener, EVENTS)
    listener.start()
    for number in range(300):
        ask("notify", EVENTS, str(number))
    assert [queue.get(timeout=10) for _ in range(301)] == ["0", *map(str, range(300))]


def test_every_callback_is_called(listener: Listener, ask: Callable[..., Any]) -> None:
    queues = [heard(listener, EVENTS) for _ in range(3)]
    listener.start()
    ask("notify", EVENTS, "1")
    for queue in queues:
        assert [queue.get(timeout=10) for _ in range(2)] == ["0", "1"]


async def test_an_append_wakes_with_the_new_position(databases: Databases, template_database: str) -> None:
    """And whoever listens later, or again, learns where the log has got to."""
    name = databases.create(template_database)
    listener, late = Listener(databases.url(name)), Listener(databases.url(name))
    queue, later = heard(listener, EVENTS), heard(late, EVENTS)
    try:
        listener.start()
        assert queue.get(timeout=10) == "0"
        with open_log(databases.url(name)) as log:
            first = await append(log, new_stream(), 0, "a", "b", "c")
        assert queue.get(timeout=10) == str(first + 2)
        late.start()
        assert later.get(timeout=10) == str(first + 2)
    finally:
        listener.stop()
        late.stop()
        databases.drop(name)


def test_news_that_come_together_are_handed_on_in_the_order_of_the_channels(
    listener: Listener, ask: Callable[..., Any]
) -> None:
    """Who knows how far the log is knows what was withdrawn before, too."""
    calls: list[tuple[str, str]] = []
    done = Event()
    for channel in CHANNELS:
        listener.on(channel, lambda payload, channel=channel: calls.append((channel, payload)))  # type: ignore[misc]
    listener.on(EVENTS, lambda payload: payload == "9" and done.set())
    listener.start()
    ask("notify_all", "9", [EVENTS, QUEUE, CACHE])
    assert done.wait(10)
    assert calls[-3:] == [(CACHE, "9"), (QUEUE, "9"), (EVENTS, "9")]


def test_a_wake_up_takes_milliseconds(listener: Listener, ask: Callable[..., Any]) -> None:
    queue = heard(listener, QUEUE)
    listener.start()
    queue.get(timeout=10)
    delays = []
    for _ in range(20):
        started = time.monotonic()
        ask("notify", QUEUE, "")
        queue.get(timeout=10)
        delays.append(time.monotonic() - started)
    assert min(delays) < 0.05, "it polls instead of waiting"


def test_after_its_backend_is_terminated_it_connects_again_and_calls_everybody(
    listener: Listener, ask: Callable[..., Any], name: str
) -> None:
    queues = {channel: heard(listener, channel) for channel in CHANNELS}
    listener.start()
    for channel, queue in queues.items():
        assert queue.get(timeout=10) == FIRST[channel]
    for turn in range(2):
        assert listener.connected
        (lost,) = ask("listeners", name)
        ask("terminate", lost[0])
        for channel, queue in queues.items():
            assert queue.get(timeout=10) == FIRST[channel], "notifications may have been missed"
            ask("notify", channel, f"after {turn}")
            assert queue.get(timeout=10) == f"after {turn}"
        (found,) = ask("listeners", name)
        assert found != lost


def test_stopping_ends_its_connection(listener: Listener, ask: Callable[..., Any], name: str) -> None:
    listener.start()
    assert len(ask("listeners", name)) == 1
    listener.stop()
    eventually(lambda: ask("listeners", name), 10, "it has ended", right=lambda found: found == [])


def test_one_that_was_never_started_can_be_stopped(database_url: str) -> None:
    Listener(database_url).stop()
