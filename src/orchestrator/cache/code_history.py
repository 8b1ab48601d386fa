"""The history of the code of skills: when it changed while the version of the skill did not."""

from collections.abc import Iterable, Mapping, Sequence

from orchestrator.postgres.database import Database
from orchestrator.postgres.sql import load_sql

_SQL = load_sql(__file__)

_MAX_CHANGES = 100
"""How many changes of a skill are kept."""

Seen = tuple[int, str]
"""When a worker first found some code, in milliseconds since 1970 UTC, and the fingerprint of the code."""


class CodeHistory:
    """The code of skills, by `id@version`, as workers found it when they started. All tenants share the skills."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, codes: Mapping[str, str], at: int) -> list[str]:
        """Record the code of skills, and return those that changed and have cached results of earlier code.

        Args:
            codes: fingerprints by `id@version`.
            at: the time, in milliseconds since 1970 UTC.
        """
        if not codes:
            return []
        given = {"skills": list(codes), "codes": list(codes.values()), "at": at}
        with self._database.connection() as connection:
            changed = [row["skill"] for row in connection.execute(_SQL.record, given)]
            if not changed:
                return []
            connection.execute(_SQL.trim, {"skills": changed, "kept": _MAX_CHANGES})
            return [row["skill"] for row in connection.execute(_SQL.cached, {"skills": changed})]

    def changes(self, skill_ids: Iterable[str]) -> Mapping[str, Sequence[Seen]]:
        """Return the history of the skills whose code is known to have changed, by `id@version`, oldest first."""
        histories: dict[str, list[Seen]] = {}
        with self._database.connection() as connection:
            for row in connection.execute(_SQL.changes, {"ids": list(skill_ids)}):
                histories.setdefault(row["skill"], []).append((row["seen_at"], row["code"]))
        return histories


def has_changed(history: Sequence[Seen], since: int, until: int) -> bool:
    """Return whether the code is known to differ between two times, in milliseconds since 1970 UTC."""
    before, after = _code_at(history, since), _code_at(history, until)
    return before is not None and before != after


def _code_at(history: Sequence[Seen], at: int) -> str | None:
    return next((code for seen_at, code in reversed(history) if seen_at <= at), None)
