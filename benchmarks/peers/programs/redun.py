"""redun: a lazy task graph whose results are stored in a database, which makes repeated runs cheap."""

import logging
import os
import time
import uuid
from collections.abc import Sequence
from typing import Any

from redun import Scheduler, task
from redun.config import Config

from benchmarks.graphs import CAMPAIGN_EDGES
from benchmarks.peers.answers import answer

redun_namespace = "bench"


@task()
def noop(step: str, seed: str, upstream: list[Any]) -> dict[str, Any]:
    return {}


@task()
def campaign(seed: str) -> dict[str, Any]:
    done: dict[str, Any] = {}
    for step, needed in CAMPAIGN_EDGES.items():
        done[step] = noop(step, seed, [done[other] for other in needed])
    return done


def open_scheduler() -> Scheduler:
    url = os.environ["BENCH_DATABASE_URL"].replace("postgresql:", "postgresql+psycopg2:", 1)
    scheduler = Scheduler(config=Config({"backend": {"db_uri": url, "automigrate": "True"}}))
    scheduler.load()
    return scheduler


def run(scheduler: Scheduler, seeds: Sequence[str]) -> dict[str, Any]:
    """Run one after the other; return the milliseconds of each run."""
    times = []
    for seed in seeds:
        started = time.perf_counter()
        scheduler.run(campaign(seed))
        times.append((time.perf_counter() - started) * 1000)
    return {"times": times}


def main() -> None:
    logging.getLogger("redun").setLevel(logging.ERROR)
    scheduler = open_scheduler()
    seen = uuid.uuid4().hex
    run(scheduler, [seen])
    answer(
        {
            "alone": lambda runs: run(scheduler, [uuid.uuid4().hex for _ in range(runs)]),
            "cached": lambda runs: run(scheduler, [seen] * runs),
        }
    )


if __name__ == "__main__":
    main()
