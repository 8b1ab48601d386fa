"""Waiting for results that others make."""

import asyncio
import hashlib
import time
from collections.abc import Callable

import pytest

from orchestrator.cache.flights import LOOK_AGAIN_SECONDS, Flights
from orchestrator.postgres.listener import FLIGHTS, Listener


class Ear(Listener):
    """A listener that hears what a test says."""

    def __init__(self) -> None:
        super().__init__("")

    def hear(self, payload: str) -> None:
        self._call(FLIGHTS, [payload])


def name(key: str) -> str:
    return hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
async def flights(ear: Ear) -> Flights:
    return Flights(ear, asyncio.get_running_loop())


async def waited(flights: Flights, key: str, meanwhile: Callable[[], None] = lambda: None, count: int = 1) -> float:
    """Wait so many times for a key, and return how long the last of them took."""
    started = time.monotonic()
    waiting = [asyncio.create_task(flights.wait(key)) for _ in range(count)]
    await asyncio.sleep(0)  # now they wait
    meanwhile()
    await asyncio.gather(*waiting)
    return time.monotonic() - started


async def test_all_who_wait_are_woken_by_the_landing(flights: Flights, ear: Ear) -> None:
    assert await waited(flights, "a", lambda: ear.hear(name("a")), 5) < LOOK_AGAIN_SECONDS / 2


@pytest.mark.slow
async def test_other_landings_wake_nobody(flights: Flights, ear: Ear) -> None:
    assert await waited(flights, "a", lambda: ear.hear(name("b"))) >= LOOK_AGAIN_SECONDS * 0.99


async def test_all_are_woken_when_notifications_may_have_been_missed(flights: Flights, ear: Ear) -> None:
    assert await waited(flights, "a", lambda: ear.hear("")) < LOOK_AGAIN_SECONDS / 2


@pytest.mark.slow
async def test_a_landing_just_before_the_wait_began_is_not_missed(flights: Flights, ear: Ear) -> None:
    ear.hear(name("a"))
    await asyncio.sleep(0)
    assert await waited(flights, "a") < LOOK_AGAIN_SECONDS / 2
    assert await waited(flights, "a") >= LOOK_AGAIN_SECONDS * 0.99  # it counts once


@pytest.mark.slow
async def test_who_gives_up_takes_nobody_along(flights: Flights, ear: Ear) -> None:
    first = asyncio.create_task(flights.wait("a"))
    await asyncio.sleep(LOOK_AGAIN_SECONDS * 0.6)  # the time itself is the subject: most of a wait
    second = asyncio.create_task(flights.wait("a"))
    await first
    started = time.monotonic()
    ear.hear(name("a"))
    await second
    assert time.monotonic() - started < LOOK_AGAIN_SECONDS
