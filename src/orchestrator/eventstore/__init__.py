"""The event store: the append-only log of events in Postgres. Only this package knows the event sourcing library.

`recorded` defines the envelope, `codec` the stored names and forms of events, `formats` which of them may be written,
`recorder` reads the log, `writer` appends in group commits through a `log_session`, `log` is the contract and its
Postgres implementation, and `memory` is the implementation without a database.
"""
