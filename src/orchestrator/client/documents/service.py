"""The service itself: its projections, the caller and its health."""

from typing import Literal, TypedDict


class RebuildProgress(TypedDict):
    """A rebuild that is running, or an interrupted one, which resumes when it is requested again."""

    state: Literal["running", "interrupted"]
    version: int
    events: int
    goal: int


class LastRebuild(TypedDict):
    """Outcome of the last rebuild, or of a comparison (not `swapped`). `differing` is a number of rows."""

    finishedAt: str
    version: int
    replacedVersion: int
    position: int
    events: int
    seconds: float
    differing: int
    swapped: bool


class Projection(TypedDict):
    """A read model. `version` is the version of its rows, `programVersion` the one that the server writes."""

    name: str
    kind: Literal["async", "inline"]
    version: int
    programVersion: int
    position: int
    lagEvents: int
    lagSeconds: float
    state: Literal["live", "stopped"]
    stoppedAt: int | None
    error: str | None
    rebuild: RebuildProgress | None
    lastRebuild: LastRebuild | None


class Me(TypedDict):
    """The caller, according to its credentials. Without authentication every caller is an admin.

    `permissions` are the names of the calls that the caller may make, as in the OpenAPI document (`getRun`).
    """

    tenant: str
    actor: str
    role: Literal["viewer", "operator", "admin"]
    expiresAt: str | None
    authentication: Literal["off", "key", "token", "session"]
    permissions: list[str]
    version: str


class Live(TypedDict):
    """The process is running."""

    status: Literal["live"]


class Readiness(TypedDict):
    """The database is available and the read models keep up.

    `lag` is the number of events behind, `lagSeconds` the age of the oldest of them.
    """

    status: Literal["ready"]
    position: int
    lastPosition: int
    lag: int
    lagSeconds: float


class Queues(TypedDict):
    """Number of unfinished runs of all tenants, by status, and of workers with a current heartbeat."""

    queued: int
    running: int
    blocked: int
    workers: int
