"""Real processes, a real Postgres, and somebody who pulls plugs.

`fleet` starts worker processes, `ledger` asks for runs and says in the end what is wrong with the log, `storms`
are the ways to pull plugs, `wire` is a socket between a process and Postgres that drops what passes.

    python -m tests.chaos --minutes 30 --seed 4711
"""
