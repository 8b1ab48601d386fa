"""Bounds of numbers and times that come from outside, each defined once.

A number without a bound overflows further in: in a database column, a date or a timer. So values beyond these bounds
are rejected in definitions, requests, command lines, settings, tokens and results of skills. Values beyond them in
older logs are shown as the nearest bound.
"""

_DAY_SECONDS = 86_400

MAX_PAUSE_MS = 30 * _DAY_SECONDS * 1000
"""The longest pause between two attempts: 30 days."""

MAX_TIMEOUT_MS = 30 * _DAY_SECONDS * 1000
"""The longest timeout of one attempt: 30 days."""

MAX_TTL_SECONDS = 3650 * _DAY_SECONDS
"""The longest time that a cached result may be kept: 3,650 days."""

MAX_AGE_SECONDS = 36_500 * _DAY_SECONDS
"""The longest age or validity that can be given: 36,500 days."""

MAX_PARALLEL_STEPS = 10_000

MAX_REQUIRED_LABELS = 32
"""The largest number of labels that a step may require of the machine that executes it."""

MAX_CPUS = 10_000
MAX_GPUS = 1_000
MAX_MEMORY_BYTES = 2**50
"""The largest amount of memory that a step may ask for: 1 PiB."""

MIN_PRIORITY = -(2**31)
MAX_PRIORITY = 2**31 - 1

MAX_LABELS = 64
"""The largest number of labels of a run."""

MAX_BYTES = 2**53 - 1

FIRST_TIME_MS = -62_135_596_800_000
"""The start of year 1, in milliseconds since 1970 UTC."""

LAST_TIME_MS = 253_402_300_799_999
"""The end of year 9999, in milliseconds since 1970 UTC: the last time that RFC 3339 can represent."""
