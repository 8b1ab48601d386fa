"""The short form: each storm for a few seconds. `make chaos MINUTES=10 SEED=1` is the long one."""

import random
from pathlib import Path

import pytest

from tests.chaos import outages, storms

pytestmark = pytest.mark.chaos
SECONDS = 3.0


async def test_kill_9_after_every_event_changes_nothing(database_url: str, data_dir: Path) -> None:
    versions = range(1, storms.EVENTS_OF_A_CAMPAIGN + 1)
    assert await storms.kill_after_events(database_url, data_dir, versions) == []


async def test_workers_killed_frozen_and_stopped(database_url: str, data_dir: Path) -> None:
    assert await storms.kill_and_freeze(database_url, data_dir, random.Random(1), SECONDS) == []


async def test_postgres_crashes(used_data_dir: Path) -> None:
    assert await storms.crash_postgres(used_data_dir, random.Random(2), SECONDS) == []


async def test_connections_are_cut(database_url: str, data_dir: Path) -> None:
    assert await storms.cut_connections(database_url, data_dir, random.Random(3), SECONDS) == []


async def test_answers_are_lost_around_commits(database_url: str, data_dir: Path) -> None:
    assert await storms.lose_answers(database_url, data_dir, random.Random(4), SECONDS) == []


async def test_cancels_race_with_everything(database_url: str, data_dir: Path) -> None:
    assert await storms.race_cancels(database_url, data_dir, random.Random(5), SECONDS) == []


async def test_the_primary_is_lost_and_its_standby_promoted(data_dir: Path) -> None:
    assert await outages.failover(data_dir, random.Random(6), SECONDS) == []


async def test_a_network_swallows_everything(data_dir: Path) -> None:
    assert await outages.dead_network(data_dir, random.Random(7), SECONDS) == []
