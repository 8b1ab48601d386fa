"""`python -m tests.simulation`: play the corpus, then schedule after schedule; see the package's words."""

import argparse
import logging
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from orchestrator.eventstore import writer
from tests.simulation.awaits import awaits
from tests.simulation.scenario import Scenario, scenario
from tests.simulation.schedule import Outcome, play

CORPUS = Path(__file__).parent / "corpus.txt"


def seeds(options: argparse.Namespace, corpus: Path = CORPUS) -> Iterator[int]:
    """The corpus, then new seeds: so many, or as long as there is time."""
    if options.schedules != 1:
        yield from (int(line.split()[0]) for line in corpus.read_text().splitlines() if line[:1].isdigit())
    deadline = time.monotonic() + 60 * options.minutes if options.minutes else None
    seed = options.seed
    while seed < options.seed + options.schedules if deadline is None else time.monotonic() < deadline:
        yield seed
        seed += 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="the first one; by chance unless told")
    parser.add_argument("--schedules", type=int, default=2000, help="how many (2000)")
    parser.add_argument("--minutes", type=float, help="play as long as this instead")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(10**9)
    if os.environ.get("PYTHONHASHSEED") != "0":  # or the order of sets would be another one each time
        arguments = [sys.executable, "-m", "tests.simulation", *sys.argv[1:], "--seed", str(options.seed)]
        os.execve(sys.executable, arguments, {**os.environ, "PYTHONHASHSEED": "0"})
    logging.disable(logging.CRITICAL)
    return play_all(options)


def play_all(options: argparse.Namespace, corpus: Path = CORPUS, perform: Callable[[Scenario], Outcome] = play) -> int:
    """Play what was asked for; tell what failed, keep its seed in the corpus, and return the exit code."""
    print(f"seeds from {options.seed}", flush=True)
    began = time.perf_counter()
    played, failed, totals, killed_at = 0, 0, Counter[str](), Counter[str]()
    for seed in seeds(options, corpus):
        outcome = perform(scenario(seed))
        played += 1
        totals += Counter(outcome.counts)
        killed_at += Counter(outcome.killed_at)
        totals += Counter(name for _, _, _, name, _ in outcome.events)
        if outcome.faults:
            failed += 1
            print(f"\nseed {seed} fails after {outcome.turns} turns:")
            print(*(f"  {fault}" for fault in outcome.faults), sep="\n")
            print(f"repeat with: python -m tests.simulation --schedules 1 --seed {seed}", flush=True)
            _keep(seed, corpus)
    seconds = time.perf_counter() - began
    print(", ".join(f"{number} {name}" for name, number in sorted(totals.items())))
    print("workers killed while the writer was at")
    print(*(f"  {number:>7} {place}" for place, number in killed_at.most_common()), sep="\n")
    for place in sorted(awaits(writer) - set(killed_at)):
        print(f"        0 {place}")
    print(f"{played} schedules in {seconds:.1f} s ({60 * played / seconds:,.0f} a minute), {failed} failed")
    return 1 if failed else 0


def _keep(seed: int, corpus: Path) -> None:
    kept = corpus.read_text()
    if f"\n{seed} " not in kept:
        corpus.write_text(f"{kept}{seed} found {time.strftime('%Y-%m-%d')}\n")


if __name__ == "__main__":
    sys.exit(main())
