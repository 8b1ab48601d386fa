"""`python -m benchmarks [NAME...] [--full]`: measure, print a table, write JSON."""

import argparse
import sys

from benchmarks import api, cached, cancels, changes, crash, idle, machine, runs
from benchmarks.report import Report

WORKLOADS = {
    "runs": runs.measure,
    "crash": crash.measure,
    "cancels": cancels.measure,
    "changes": changes.measure,
    "cached": cached.measure,
    "api": api.measure,
    "idle": idle.measure,
}


def main() -> None:
    """Run the workloads named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*WORKLOADS, []], help="which workloads; all when none is named")
    parser.add_argument("--full", action="store_true", help="larger sizes and more repetitions")
    options = parser.parse_args()
    report = Report(machine.describe())
    for name in options.names or WORKLOADS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        WORKLOADS[name](report, full=options.full)
    report.show()
    print(f"written to {report.save()}")


if __name__ == "__main__":
    main()
