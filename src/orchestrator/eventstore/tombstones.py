"""Tombstones: what stays of a run whose events have left the log for an archive file."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from orchestrator.postgres.database import Database
from orchestrator.postgres.sql import load_sql

_SQL = load_sql(__file__)
_DIGEST_BYTES = 32
_PLACE_BYTES = 8


@dataclass(frozen=True, slots=True)
class Tombstone:
    """An archived run: whose and what it was, where its last event stood, and the file that holds its events.

    `request` and `steps` are what a trigger that is repeated with the same Idempotency-Key is compared with and told.
    """

    run_id: str
    tenant: str
    status: str
    request: str | None
    steps: int
    last_position: int
    archive: str
    archived_at: datetime


class Tombstones:
    """Reads tombstones. Synchronous."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, run_id: str) -> Tombstone | None:
        """Return the tombstone of a run, or None when it was not archived."""
        with self._database.connection() as connection:
            row = connection.execute(_SQL.find, {"run_id": run_id}, prepare=True).fetchone()
        return None if row is None else Tombstone(**row)

    def digests(self, after: int, until: int) -> Mapping[int, bytes]:
        """Return, by position, the digests of archived events that stood after a position up to another."""
        found: dict[int, bytes] = {}
        with self._database.connection() as connection:
            for row in connection.execute(_SQL.digests, {"after": after, "until": until}, prepare=True):
                places, digests = row["positions"], row["digests"]
                for number in range(len(places) // _PLACE_BYTES):
                    place = int.from_bytes(places[number * _PLACE_BYTES : (number + 1) * _PLACE_BYTES], "big")
                    if after < place <= until:
                        found[place] = digests[number * _DIGEST_BYTES : (number + 1) * _DIGEST_BYTES]
        return found
