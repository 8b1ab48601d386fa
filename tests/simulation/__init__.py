"""A deterministic simulation of workers on a hostile day.

The real worker, driver, decider and codec run on a loop whose time and order the seed decides (`loop`),
against a database in memory that loses answers and crashes (`server`, `host`), with skills that fail and hang
(`stage`). A seed stands for a `scenario`; `schedule` plays it and inspects what the log says in the end.

    python -m tests.simulation --seed 4711 --schedules 1     repeat one schedule
    python -m tests.simulation --minutes 10                  look for new ones

A seed that failed goes into `corpus.txt` and is played first from then on.
"""
