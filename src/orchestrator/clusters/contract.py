"""What an engine must do to execute attempts, and what it is given and returns.

An adapter is small: it submits, cancels and lists. It never decides what became of an attempt. Only the record counts
that the remote side wrote under the attempt's name and fence, and only the owner of the run retries.
"""

import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, Protocol

from orchestrator.domain.output import Output, StepError
from orchestrator.domain.resources import ANY, Resources
from orchestrator.skills.call import SkillCall

State = Literal["waiting", "executing", "ended"]


@dataclass(frozen=True, slots=True)
class Work:
    """One attempt to execute on a cluster. It is sent as JSON.

    `name` identifies the attempt (see `attempt_name`), `fence` is a secret of this dispatch. `skill` is the expected
    `id@version`; a remote side that has another one refuses with EXECUTOR_MISMATCH. `requires` are labels that the
    remote side must have.
    """

    name: str
    fence: str
    call: SkillCall
    skill: str
    resources: Resources = ANY
    requires: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """What became of an attempt, written once by the remote side. `duration_ms` is the wall time of the skill."""

    outcome: Output | StepError
    duration_ms: float


@dataclass(frozen=True, slots=True)
class Ended:
    """An engine says that an attempt ended. This is only a wake-up: the record decides.

    `reason` says why there may be no record, for example that a process was killed; None means nothing went wrong.
    `code` is EXECUTOR_MISMATCH if nothing was executed because the remote side has other versions: no attempt is used
    up. It is WORKER_LOST if the remote side cannot perform any attempt. Otherwise it is None.
    """

    reason: str | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do: end running code, continue attempts whose owner died, and reserve resources."""

    kills: bool
    adopts: bool
    reserves: bool


class ClusterUnavailable(Exception):
    """The engine cannot be reached. Nothing was submitted; no attempt is used up. Shown as CLUSTER_AWAY."""


class Cluster(Protocol):
    """An engine that executes attempts. Every method raises ClusterUnavailable when it cannot be reached."""

    capabilities: Capabilities

    async def submit(self, work: Work) -> None:
        """Submit an attempt. Submitting the same name and fence again does nothing while the engine knows it."""
        ...

    async def cancel(self, name: str, *, kill: bool) -> None:
        """Ask an attempt to stop, or kill it. An unknown name is not an error."""
        ...

    async def listing(self) -> Mapping[str, State]:
        """Return the attempts that the engine knows, by name."""
        ...

    def outcomes(self) -> AsyncIterator[tuple[str, Ended]]:
        """Yield the names of attempts that ended, as long as the cluster is open."""
        ...

    async def record(self, tenant: str, name: str, fence_hash: str) -> Record | None:
        """Return the record of an attempt, or None if the remote side has not written one (yet)."""
        ...

    async def close(self) -> None:
        """Disconnect. Attempts that the engine can continue go on."""
        ...


def attempt_name(run_id: str, step_id: str, attempt: int) -> str:
    """Return the name of an attempt: 32 hexadecimal digits, the same ones on every machine."""
    return sha256(f"{run_id}\0{step_id}\0{attempt}".encode()).hexdigest()[:32]


def new_fence() -> str:
    """Return a new secret for an attempt, 32 hexadecimal digits."""
    return secrets.token_hex(16)


def fence_hash(fence: str) -> str:
    """Return what events and records say of a fence, since viewers read them: its SHA-256 in hex."""
    return sha256(fence.encode()).hexdigest()
