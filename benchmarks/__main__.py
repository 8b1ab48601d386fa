"""`python -m benchmarks [NAME...] [--full]`: measure, print tables, write JSON."""

import argparse
import signal
import sys
import time
import traceback

from benchmarks import (
    api,
    artifacts,
    audit,
    cached,
    campaign,
    cancels,
    changes,
    clusters,
    crash,
    floor,
    idle,
    machine,
    postgres,
    rebuild,
    runs,
    step_logs,
    workers,
)
from benchmarks.goals import GOALS
from benchmarks.peers import comparison
from benchmarks.report import Report

WORKLOADS = {
    "runs": runs.measure,
    "slow-disk": runs.measure_slow_disk,
    "floor": floor.measure,
    "peers": comparison.measure,
    "crash": crash.measure,
    "cancels": cancels.measure,
    "changes": changes.measure,
    "campaign": campaign.measure,
    "cached": cached.measure,
    "api": api.measure,
    "idle": idle.measure,
    "workers": workers.measure,
    "step-logs": step_logs.measure,
    "artifacts": artifacts.measure,
    "clusters": clusters.measure,
    "rebuild": rebuild.measure,
    "audit": audit.measure,
}
ONLY_FULL = ("peers",)


def main() -> int:
    """Run the named workloads, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*WORKLOADS, []], help="workloads to run (default: all)")
    parser.add_argument("--full", action="store_true", help="also run the peers; larger sizes, more repetitions")
    options = parser.parse_args()
    # On SIGTERM, stop everything that was started: servers, peers, Postgres.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    report = Report({**machine.describe(), "postgres": postgres.version()})
    names = options.names or [name for name in WORKLOADS if options.full or name not in ONLY_FULL]
    for name in names:
        began = time.perf_counter()
        print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
        try:
            WORKLOADS[name](report, full=options.full)
        except Exception as error:  # noqa: BLE001 - keep the results of the other workloads
            traceback.print_exc()
            report.miss(name, f"{type(error).__name__}: {error}")
        print(f"{time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    report.show(GOALS)
    print(f"written to {report.save(GOALS)}")
    return 1 if report.missing else 0


if __name__ == "__main__":
    sys.exit(main())
