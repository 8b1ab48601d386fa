"""The embedded Postgres in the data directory: a real server from a wheel, with nothing to install or configure.

    errors.py       the error of this package
    account.py      which system user runs the server (Postgres refuses to run as root)
    binaries.py     where the wheel's programs are, readable by that user
    home.py         where the cluster, its locks and its log are
    presence.py     which processes use it: kernel locks, so that a killed process is gone immediately
    postmaster.py   the running server, as described by its pid file and its socket
    server.py       starts, joins and stops the server

The wheel's own Python code is never imported: on import it makes folders accessible to everybody and reads the
session's environment. Only its programs are used.
"""

from orchestrator.postgres.embedded.errors import EmbeddedPostgresError
from orchestrator.postgres.embedded.server import EmbeddedPostgres

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError"]
