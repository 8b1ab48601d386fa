"""Our own Postgres in the data directory: a real server from a wheel, nothing to install or configure.

    errors.py       the one error
    account.py      which system user runs the server (Postgres refuses to run as root)
    binaries.py     where the wheel's programs are, readable by that user
    home.py         where the cluster, its locks and its log live
    presence.py     who is using it: kernel locks, so that a killed user is gone at once
    postmaster.py   the running server as its pid file and its socket tell
    server.py       start, join, stop

The wheel's own Python code is never imported: it opens folders to everybody and looks at the session's
environment at import. Only its programs are used.
"""

from orchestrator.postgres.embedded.errors import EmbeddedPostgresError
from orchestrator.postgres.embedded.server import EmbeddedPostgres

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError"]
