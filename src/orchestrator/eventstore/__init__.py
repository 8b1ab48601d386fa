"""How it is kept: the append-only log of events in Postgres, and the only room that knows the event sourcing library.

`recorded` is the envelope, `codec` the stored names and forms of events, `recorder` the reading of the log,
`writer` the group commit through a `log_session`, `log` the contract with its Postgres form
and `memory` its twin without a database. `database` hands out connections, `listener` wakes whoever waits,
`embedded` runs a Postgres of our own and `migrate` brings a database up to date. `duty` keeps background work going,
and `unavailable` says which errors mean an unavailable database.
"""
