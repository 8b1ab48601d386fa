"""The domain: the rules of runs, as pure functions over plain data.

Read in this order: `workflow` (what can run), `events` (what can happen), `run` (the state that the events
add up to), `decide` (what may happen), `evolve` (what it changes), `next_steps` (what happens next) and
`plan` (what a change affects). Nothing here reads a clock, a file, a socket or a random source: ids,
times and cache results arrive as fields of commands.
"""
