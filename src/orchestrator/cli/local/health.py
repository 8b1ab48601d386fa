"""Health checks of the services of this host."""

import socket
import urllib.request

from orchestrator.cli.complaint import Complaint
from orchestrator.postgres.connect import connect
from orchestrator.postgres.sql import load_sql
from orchestrator.settings import Settings

TIMEOUT_SECONDS = 4.0
_SQL = load_sql(__file__)


def find_problem(service: str, settings: Settings) -> str | None:
    """Return why a service of this host is unhealthy, or None.

    Raises:
        Complaint: no database is configured, so nothing is known about a worker or a projector.
    """
    return _api_problem(settings) if service == "api" else _database_problem(service, settings)


def _api_problem(settings: Settings) -> str | None:
    address = f"http://127.0.0.1:{settings.port}/api/v1/health/ready"
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS):
            return None
    except OSError as error:
        return f"{address}: {error}"


def _database_problem(service: str, settings: Settings) -> str | None:
    """Workers and projectors serve no port of their own; their state is in the database."""
    if settings.database_url is None:
        raise Complaint(f"No database to check the {service} in", "Set ORCHESTRATOR_DATABASE_URL.")
    with connect(settings.database_url) as connection:
        row = connection.execute(_SQL[service], {"host": socket.gethostname()}).fetchone()
    healthy, problem = row or (False, "the database returned no row")
    return None if healthy else str(problem)
