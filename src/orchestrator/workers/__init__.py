"""What we do: claim runs, decide what is next, run steps, report.

`worker` owns the claims and the loop, `driver` sees one run through from claim to end, `context` resolves
inputs, `executor` runs skills, `claims` is the queue and the register of workers, `process_identity` tells whether
a neighbour still lives.
"""
