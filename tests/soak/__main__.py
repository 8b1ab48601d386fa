"""`python -m tests.soak [--minutes 30] [--seed N]`: every fault in turn under real processes."""

import argparse
import asyncio
import random
import shutil
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from benchmarks.folders import make_open_folder
from tests.soak import verdict
from tests.soak.faults import Faults
from tests.soak.feeder import Feeder
from tests.soak.growth import Growth
from tests.soak.log_lines import LogLines
from tests.soak.plant import Plant, open_plant

_END_SECONDS = 300.0
_STOP_SECONDS = 60.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="how long things go wrong (30)")
    parser.add_argument("--seed", type=int, help="what goes wrong, and when; by chance unless told")
    parser.add_argument("--only", action="append", metavar="FAULT", help="this fault only; repeat it for more")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**9) if options.seed is None else options.seed
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: every server is stopped
    folder = make_open_folder()
    print(f"soak of {options.minutes:g} minutes with seed {seed} in {folder}", flush=True)
    wrong = asyncio.run(soak(folder, seed, options.minutes, tuple(options.only or ())))
    print(f"\n{len(wrong)} faults")
    print(*(f"  {fault}" for fault in wrong[:100]), sep="\n")
    if wrong:
        only = "".join(f" --only {name}" for name in options.only or ())
        print(f"logs are kept in {folder / 'logs'}")
        print(f"repeat with: python -m tests.soak --minutes {options.minutes:g} --seed {seed}{only}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


async def soak(folder: Path, seed: int, minutes: float, only: tuple[str, ...] = ()) -> list[str]:
    """Let everything go wrong for so long, and return what is wrong afterwards."""
    chance = random.Random(seed)
    with open_plant(folder, chance) as plant:
        feeder = Feeder(plant, random.Random(chance.random()))
        faults = Faults(plant, feeder, random.Random(chance.random()))
        growth = Growth(plant.members)
        watching = asyncio.create_task(growth.watch())
        feeding = asyncio.create_task(feeder.feed())
        began = time.monotonic()
        wrong: list[str] = []
        try:
            await faults.play(began + 60 * minutes, only)
        finally:
            feeder.stop()
        wrong += [
            f"the feeder failed: {error!r}" for error in await asyncio.gather(feeding, return_exceptions=True) if error
        ]
        left = await feeder.settle(list(feeder.accepted.values()), _END_SECONDS)
        wrong += [f"run {run.run_id} of {run.workflow} was accepted and is {run.status}" for run in left]
        watching.cancel()
        growth.take()
        wrong += [*faults.wrong, *feeder.faults, *growth.faults(plant.elders)]
        await feeder.close()
        wrong += await asyncio.to_thread(_stop_all, plant)
        wrong += await verdict.program_says(plant)
        found, numbers = await asyncio.to_thread(verdict.log_says, plant, feeder)
        wrong += found
        lines = LogLines()
        lines.read(folder / "logs")
        wrong += lines.faults()
        _report(feeder, faults, growth, lines, numbers, (time.monotonic() - began) / 60)
        return wrong


def _stop_all(plant: Plant) -> list[str]:
    """End every process as an operator would; returns which would not."""
    found = []
    for member in plant.members:
        try:
            code = member.stop(_STOP_SECONDS)
        except Exception as error:  # noqa: BLE001 - told in the report
            found.append(f"{member.name} did not end after SIGTERM: {error!r}")
            continue
        if code != 0:
            found.append(f"{member.name} ended with {code} after SIGTERM")
    return found


def _report(
    feeder: Feeder, faults: Faults, growth: Growth, lines: LogLines, numbers: dict[str, int], minutes: float
) -> None:
    _section(f"After {minutes:.1f} minutes", (f"{number:8} {name}" for name, number in numbers.items()))
    statuses = Counter(run.status for run in feeder.accepted.values())
    _section("Runs", [f"{len(feeder.accepted):8} accepted", *(f"{n:8} {name}" for name, n in statuses.items())])
    _section("Asked for", (f"{number:8} {name}" for name, number in feeder.done.items()))
    _section("Answers", (f"{number:8} {name}" for name, number in sorted(feeder.answers.items())))
    _section(
        "Faults, and seconds until a new run was over",
        (
            f"{len(found):4} {name:20} median {statistics.median(found):5.1f}, at most {max(found):5.1f}"
            for name, found in sorted(faults.recoveries.items())
        ),
    )
    _section("Warnings and errors in the logs", lines.report())
    _section("Memory and descriptors over time", growth.report())


def _section(title: str, lines: Iterable[str]) -> None:
    print(f"\n{title}")
    print(*(f"  {line}" for line in lines), sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
