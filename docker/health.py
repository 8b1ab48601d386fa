"""The health check of a container: `python docker/health.py api|worker|projector` exits with 0 if it is healthy."""

import socket
import sys
import urllib.request

from orchestrator.postgres.connect import connect
from orchestrator.postgres.sql import load_sql
from orchestrator.settings import Settings, load_settings

TIMEOUT_SECONDS = 4.0
_SQL = load_sql(__file__)


def check_api(settings: Settings) -> str:
    """Return the problem of the API on this host, or an empty string if it is healthy."""
    address = f"http://127.0.0.1:{settings.port}/api/v1/health/ready"
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS):
            return ""
    except OSError as error:
        return f"{address}: {error}"


def check_in_database(service: str, settings: Settings) -> str:
    """Return the problem of a worker or projector, according to the database, or an empty string if it is healthy."""
    if settings.database_url is None:
        return "ORCHESTRATOR_DATABASE_URL is not set"
    with connect(settings.database_url) as connection:
        row = connection.execute(_SQL[service], {"host": socket.gethostname()}).fetchone()
    healthy, otherwise = row or (False, "the database does not say")
    return "" if healthy else str(otherwise)


def main(service: str) -> int:
    """Check a service, print its problem to stderr, and return the exit code."""
    settings = load_settings()
    problem = check_api(settings) if service == "api" else check_in_database(service, settings)
    if problem:
        sys.stderr.write(f"{service}: {problem}\n")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
