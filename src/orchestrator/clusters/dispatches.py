"""The table of attempts that other machines execute, and of the workers that pull them. Synchronous."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from orchestrator.clusters.contract import Record, Work, fence_hash
from orchestrator.clusters.forms import record_from_bytes, record_to_bytes, work_from_json, work_to_json
from orchestrator.postgres.database import Database
from orchestrator.postgres.sql import load_sql

_SQL = load_sql(__file__)

Key = tuple[str, str]
"""The tenant and the name of an attempt."""


@dataclass(frozen=True, slots=True)
class Dispatched:
    """What is known of an attempt.

    `fence` is the hash of its secret, `silent` says that the machine that has it missed its beats for a lease, and
    `unwanted` that it waits and no worker that fits was seen for a lease.
    """

    fence: str
    record: Record | None
    silent: bool
    unwanted: bool


@dataclass(frozen=True, slots=True)
class Puller:
    """A worker that pulls: its id, its pool, the labels that it has and its skills, each as `id@version`."""

    tenant: str
    pool: str
    id: str
    labels: Sequence[str]
    skills: Sequence[str]


@dataclass(frozen=True, slots=True)
class Holder:
    """Who says something about an attempt: its tenant, its pool (None for any), the attempt and its secret."""

    tenant: str
    pool: str | None
    name: str
    fence: str

    @property
    def fields(self) -> dict[str, Any]:
        """The parameters of a statement."""
        return {"tenant": self.tenant, "pool": self.pool, "name": self.name, "fence": self.fence}


class Dispatches:
    """Dispatched attempts in Postgres. `lease_seconds` is how long a machine may miss its beats."""

    def __init__(self, database: Database, lease_seconds: float) -> None:
        self._database = database
        self._lease = lease_seconds

    def put(self, executor: str, work: Work) -> None:
        """Store an attempt for pull workers. Storing the same one again does nothing."""
        call = work.call
        row = {
            "tenant": call.tenant,
            "name": work.name,
            "executor": executor,
            "fence": work.fence,
            "run_id": call.run_id,
            "step_id": call.step_id,
            "attempt": call.attempt,
            "skill": work.skill,
            "requires": list(work.requires),
            "work": orjson.dumps(work_to_json(work)).decode(),
        }
        self._run("put", row)

    def states(self, keys: Collection[Key]) -> dict[Key, Dispatched]:
        """Return what is known of attempts; those without a row are omitted."""
        asked = {"tenants": [tenant for tenant, _ in keys], "names": [name for _, name in keys], "lease": self._lease}
        return {
            (row["tenant"], row["name"]): Dispatched(
                fence_hash(row["fence"]),
                None if row["record"] is None else record_from_bytes(row["record"].encode()),
                bool(row["silent"]),
                bool(row["unwanted"]),
            )
            for row in self._run("states", asked)
        }

    def lose(self, key: Key) -> bool:
        """Give an attempt up unless it was heard of in the meantime, and return whether it was given up."""
        return bool(self._run("lose", {"tenant": key[0], "name": key[1], "lease": self._lease}))

    def drop(self, tenant: str, names: Sequence[str]) -> None:
        """Remove attempts whose outcome is in the log."""
        self._run("drop", {"tenant": tenant, "names": list(names)})

    def drop_stray(self) -> None:
        """Remove attempts of runs that ended while nobody was there to remove them."""
        self._run("drop_stray", {})

    def fitting(self, tenant: str, pool: str, skill_id: str, requires: Sequence[str]) -> str | None:
        """Return `id@version` of a skill as a worker of the pool has it, or None if no worker that is there fits."""
        asked = {"tenant": tenant, "pool": pool, "skill_id": skill_id, "requires": list(requires), "lease": self._lease}
        rows = self._run("fitting", asked)
        return str(rows[0]["skill"]) if rows else None

    def labels(self, tenant: str, pool: str) -> set[str]:
        """Return the labels that the workers of a pool have."""
        rows = self._run("labels", {"tenant": tenant, "pool": pool, "lease": self._lease})
        return {str(row["label"]) for row in rows}

    def see(self, worker: Puller) -> None:
        """Note that a worker is there; if it is new, let runs go on that are blocked on its pool."""
        named = {"tenant": worker.tenant, "pool": worker.pool, "worker": worker.id, "lease": self._lease}
        rows = self._run("see", {**named, "labels": list(worker.labels), "skills": list(worker.skills)})
        if rows[0]["is_new"]:
            self._run("unblock", {"tenant": worker.tenant, "prefix": blocked_prefix(worker.pool)})

    def take(self, worker: Puller, slots: int) -> list[Work]:
        """Take up to `slots` attempts that fit a worker. From now on it must beat for each."""
        asked = {"tenant": worker.tenant, "pool": worker.pool, "worker": worker.id, "slots": slots}
        rows = self._run("take", {**asked, "labels": list(worker.labels), "skills": list(worker.skills)})
        return [work_from_json(orjson.loads(row["work"])) for row in rows]

    def beat(self, holder: Holder) -> bool | None:
        """Note that an attempt is executing, and return whether it should stop; None if the fence is stale."""
        rows = self._run("beat", holder.fields)
        return bool(rows[0]["cancelled"]) if rows else None

    def abandon(self, holder: Holder) -> bool:
        """Give up an attempt that will not be finished, and return whether it was known."""
        return bool(self._run("abandon", holder.fields))

    def record(self, holder: Holder, record: Record) -> bool:
        """Write the record of an attempt, and return whether it is the one that counts.

        The first record counts. Writing the same one again does nothing.
        """
        text = record_to_bytes(record).decode()
        if self._run("record", {**holder.fields, "record": text}):
            return True
        rows = self._run("recorded", holder.fields)
        return bool(rows) and rows[0]["record"] == text

    def cancel(self, tenant: str, name: str) -> bool:
        """Ask the machine that has an attempt to stop it, and return whether the attempt is known."""
        return bool(self._run("cancel", {"tenant": tenant, "name": name}))

    def _run(self, statement: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        with self._database.connection() as connection:
            done = connection.execute(_SQL[statement], parameters, prepare=True)
            return done.fetchall() if done.description is not None else []


def blocked_prefix(executor: str) -> str:
    """Return how everything begins that a run can lack of an executor."""
    return f"executor {executor}: "
