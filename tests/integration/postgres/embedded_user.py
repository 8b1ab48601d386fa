"""A process that uses the Postgres of a data directory: says what it found, and stops at a line of input."""

import json
import sys
from pathlib import Path

from orchestrator.postgres.embedded import EmbeddedPostgres

with EmbeddedPostgres(Path(sys.argv[1])) as server:
    found = {"conninfo": server.conninfo(), "pid": server.pid, "started_by_us": server.started_by_us}
    print(json.dumps(found), flush=True)
    sys.stdin.readline()
