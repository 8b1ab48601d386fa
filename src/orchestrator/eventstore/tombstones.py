"""Tombstones: what remains in the database of a run that was moved to an archive file or deleted."""

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
    """An archived or deleted run: its tenant and status, and the position of its last event.

    `archive` is the file that holds its events, or None if it was deleted. When a trigger is repeated with the same
    Idempotency-Key, it is compared with `request`, and `steps` is part of the response.
    """

    run_id: str
    tenant: str
    status: str
    request: str | None
    steps: int
    last_position: int
    archive: str | None
    archived_at: datetime | None
    deleted_at: datetime | None


class Tombstones:
    """Reads tombstones. Synchronous."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, run_id: str) -> Tombstone | None:
        """Return the tombstone of a run, or None when the run was neither archived nor deleted."""
        with self._database.connection() as connection:
            row = connection.execute(_SQL.find, {"run_id": run_id}, prepare=True).fetchone()
        return None if row is None else Tombstone(**row)

    def digests(self, after: int, until: int) -> Mapping[int, bytes]:
        """Return the digests of events that left the log, by position: those after `after` and up to `until`."""
        found: dict[int, bytes] = {}
        with self._database.connection() as connection:
            for row in connection.execute(_SQL.digests, {"after": after, "until": until}, prepare=True):
                places, digests = row["positions"], row["digests"]
                for number in range(len(places) // _PLACE_BYTES):
                    place = int.from_bytes(places[number * _PLACE_BYTES : (number + 1) * _PLACE_BYTES], "big")
                    if after < place <= until:
                        found[place] = digests[number * _DIGEST_BYTES : (number + 1) * _DIGEST_BYTES]
        return found
