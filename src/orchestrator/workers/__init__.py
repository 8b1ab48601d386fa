"""Workers: claim runs, decide the next steps, execute them, and record the results.

`worker` claims runs and owns the event loop, `driver` drives one run from claim to end, `context` resolves inputs,
`executor` executes skills, `claims` is the queue and the register of workers, and `process_identity` checks whether
another worker's process on this machine is still running.
"""
