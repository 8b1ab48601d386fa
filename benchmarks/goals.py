"""The goals that are ratios to the results of peers. Other goals are defined with their measurements."""

from benchmarks.labels import ALONE, AT_ONCE, CACHED, CAUGHT_UP, EXECUTED, ONE_STEP_RUNS, SLOW_DISK
from benchmarks.report import Goal

DBOS = "DBOS"
BY_LEVEL = "psycopg, a commit per level"
REDUN = "redun"

GOALS = (
    Goal(ALONE, "p50", DBOS, 1 / 5),
    Goal(ALONE, "p50", BY_LEVEL, 2.5),
    Goal(ALONE + SLOW_DISK, "p50", DBOS, 1 / 3),
    Goal(AT_ONCE.format(500), CAUGHT_UP, DBOS, 15),
    Goal(ONE_STEP_RUNS, EXECUTED, DBOS, 8),
    Goal(CACHED, "per step", REDUN, 1 / 15),
)
