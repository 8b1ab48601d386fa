"""`python -m tests.chaos [--minutes 30] [--seed N]`: storm after storm, each with a seed of its own."""

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Coroutine
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from typing import Any

from benchmarks.folders import open_folder
from orchestrator.postgres.embedded import EmbeddedPostgres
from orchestrator.postgres.migrate import migrate
from tests.chaos import outages, storms
from tests.servers import Databases

NAMES = (
    "kill_after_events",
    "kill_and_freeze",
    "crash_postgres",
    "cut_connections",
    "lose_answers",
    "race_cancels",
    "failover",
    "dead_network",
)
SECONDS = 20.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="how long to go on (10); 0 is one storm")
    parser.add_argument("--seed", type=int, help="the first seed; by chance unless told")
    parser.add_argument("--only", choices=NAMES, help="this storm only")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**9) if options.seed is None else options.seed
    deadline = time.monotonic() + 60 * options.minutes
    failed = passed = 0
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedPostgres(stack.enter_context(open_folder())))
        while not passed + failed or time.monotonic() < deadline:
            name = options.only or NAMES[(passed + failed) % len(NAMES)]
            began = time.monotonic()
            faults = _play(server, name, seed)
            passed, failed = passed + (not faults), failed + bool(faults)
            print(f"{name} seed {seed}: {len(faults)} faults in {time.monotonic() - began:.0f} s", flush=True)
            if faults:
                print(*(f"  {fault}" for fault in faults), sep="\n")
                print(f"repeat with: python -m tests.chaos --minutes 0 --only {name} --seed {seed}", flush=True)
            seed += 1
    print(f"{passed + failed} storms from seed {seed - passed - failed}, {failed} failed")
    return 1 if failed else 0


def _play(server: EmbeddedPostgres, name: str, seed: int) -> list[str]:
    databases = Databases(server)
    database = databases.create()
    url = databases.url(database)
    migrate(url, [files("orchestrator.postgres") / "migrations"])
    try:
        with open_folder() as folder:
            return asyncio.run(_storm(url, folder, name, random.Random(seed)))
    except AssertionError as error:
        return [str(error)]
    finally:
        databases.drop(database)


def _storm(url: str, folder: Path, name: str, chance: random.Random) -> Coroutine[Any, Any, list[str]]:
    match name:
        case "kill_after_events":
            return storms.kill_after_events(url, folder, range(1, storms.EVENTS_OF_A_CAMPAIGN + 1))
        case "crash_postgres":
            return storms.crash_postgres(folder, chance, SECONDS)
        case "kill_and_freeze":
            return storms.kill_and_freeze(url, folder, chance, SECONDS)
        case "cut_connections":
            return storms.cut_connections(url, folder, chance, SECONDS)
        case "lose_answers":
            return storms.lose_answers(url, folder, chance, SECONDS)
        case "failover":
            return outages.failover(folder, chance, SECONDS)
        case "dead_network":
            return outages.dead_network(folder, chance, SECONDS)
        case _:
            return storms.race_cancels(url, folder, chance, SECONDS)


if __name__ == "__main__":
    sys.exit(main())
