"""The long form: rounds with new seeds until there were enough requests, half of them to a server that asks for keys.

Ends with 1 at the first round that fails.
"""

import argparse
import random
import sys
import time

from tests.fuzz.visit import open_visit


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000, help="at least this many requests")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32), help="of the first round")
    asked = parser.parse_args()
    began, cases, seed = time.monotonic(), 0, asked.seed
    for with_auth, enough in ((False, asked.cases // 2), (True, asked.cases)):
        with open_visit(with_auth=with_auth) as visit:
            while cases < enough:
                done = visit.round(seed, "--max-examples", "100", "--workers", "2")
                cases += done.cases
                told = f"{done.cases} requests {'with' if with_auth else 'without'} keys, {cases} in all"
                print(f"seed {seed}: {told} after {time.monotonic() - began:.0f} s", flush=True)
                if not done.is_right or not done.cases:
                    print(done.told)
                    print(f"repeat with: python -m tests.fuzz --seed {seed}")
                    return 1
                seed = (seed + 1) % 2**32
    print(f"{cases} requests, and every answer was right")
    return 0


if __name__ == "__main__":
    sys.exit(main())
