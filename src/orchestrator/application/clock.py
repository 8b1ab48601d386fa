"""The clock: the one place that reads the time of day."""

import time


def now() -> int:
    """Return the time in milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000
