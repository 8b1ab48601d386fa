"""The labels of workloads: a result of ours is compared with a peer's result of the same label."""

ALONE = "W1 13 steps, alone"
AT_ONCE = "W2 {} runs of 13 steps at once"
ONE_STEP_RUNS = "W3 one-step runs at once"
CACHED = "W4 13 cached steps, alone"
CRASH = "W5 kill -9 half way"

SLOW_DISK = ", slow disk"
"""The suffix of labels of workloads measured with a flush of 2 ms."""

EXECUTED = "executed"
CAUGHT_UP = "and read models caught up"

FIRST_STEP = "first step after process start"
ALL_DONE = "all runs completed after"
EXECUTING = "steps executing when it died, of 1,300"
REPEATED = "of them repeated"
