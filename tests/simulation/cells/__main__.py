"""`python -m tests.simulation.cells`: play schedules of moving tenants, with all rules and with each one broken."""

import argparse
import random
from dataclasses import fields

from tests.simulation.cells.cell import Rules
from tests.simulation.cells.schedule import play


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.cells", description=__doc__)
    parser.add_argument("--schedules", type=int, default=20_000, help="how many (20,000)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9), help="the first one")
    options = parser.parse_args()
    seeds = range(options.seed, options.seed + options.schedules)
    played = [(seed, play(seed)) for seed in seeds]
    failed = [(seed, each) for seed, each in played if each.faults]
    print(
        f"{len(played)} schedules from seed {options.seed}: {sum(each.moves for _, each in played)} moves, "
        f"{sum(each.given_up for _, each in played)} given up, {sum(each.crashes for _, each in played)} crashes, "
        f"{sum(each.runs for _, each in played)} runs, {len(failed)} schedules failed"
    )
    for seed, each in failed[:5]:
        print(f"  seed {seed}: {each.faults[0]}")
    few = seeds[:300]
    for rule in fields(Rules):
        broken = sum(bool(play(seed, Rules(**{rule.name: False})).faults) for seed in few)
        print(f"  without {rule.name}: {broken} of {len(few)} fail")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
