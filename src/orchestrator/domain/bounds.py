"""Bounds of numbers and times that come from outside, each written once.

A number without a bound overflows somewhere further in: a column of the database, a date, a timer. So what is taken
from a definition, a request, a command line, a setting, a token or a skill is refused beyond these, and what older
logs hold beyond them is shown as the nearest.
"""

_DAY_SECONDS = 86_400

MAX_PAUSE_MS = 30 * _DAY_SECONDS * 1000
"""The longest pause between two attempts: 30 days."""

MAX_TIMEOUT_MS = 30 * _DAY_SECONDS * 1000
"""The longest time that one attempt may be given: 30 days."""

MAX_TTL_SECONDS = 3650 * _DAY_SECONDS
"""How long a cached result may be kept at most: 3,650 days."""

MAX_AGE_SECONDS = 36_500 * _DAY_SECONDS
"""The longest age or validity that can be named: 36,500 days."""

MAX_PARALLEL_STEPS = 10_000

MIN_PRIORITY = -(2**31)
MAX_PRIORITY = 2**31 - 1

MAX_BYTES = 2**53 - 1

FIRST_TIME_MS = -62_135_596_800_000
"""The beginning of year 1, in milliseconds since 1970 UTC."""

LAST_TIME_MS = 253_402_300_799_999
"""The end of year 9999, in milliseconds since 1970 UTC: the last time that RFC 3339 can write."""
