"""What is true: the rules of runs, as pure functions around plain data.

Read in this order: `workflow` (what can run), `events` (what can happen), `run` (the state the events
add up to), `decide` (what may happen), `evolve` (what it changes), `next_steps` (what happens next) and
`plan` (what a change reaches). Nothing here reads a clock, a file, a socket or a random source: ids,
times and cache answers enter as fields of commands.
"""
