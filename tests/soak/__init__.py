"""Real processes for half an hour, requests of several tenants all the time, and every fault in turn.

`plant` starts APIs, workers and projectors on a replicated Postgres and a Valkey, `feeder` asks for runs, `faults`
breaks one thing after another, `growth` and `log_lines` watch the processes meanwhile, `verdict` says in the end what
is wrong.

    python -m tests.soak --minutes 30 --seed 4711
"""
