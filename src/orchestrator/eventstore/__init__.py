"""How it is kept: the append-only log of events in Postgres, and the only room that knows the event sourcing library.

`recorded` is the envelope, `codec` the stored names and forms of events, `formats` what of them may be written already,
`recorder` the reading of the log, `writer` the group commit through a `log_session`, `log` the contract with its
Postgres form and `memory` its twin without a database.
"""
