"""Projections and their rebuilds."""

from typing import Literal

from pydantic import AwareDatetime, Field

from orchestrator.api.shapes.shape import Shape


class RebuildProgress(Shape):
    """A rebuild that is running, or an interrupted one, which resumes when it is requested again."""

    state: Literal["running", "interrupted"]
    version: int = Field(description="Version of the new rows.")
    events: int = Field(description="Number of events applied to the new table.")
    goal: int


class LastRebuild(Shape):
    """Outcome of the last rebuild, or of a comparison, which has `swapped` false."""

    finished_at: AwareDatetime
    version: int
    replaced_version: int
    position: int
    events: int
    seconds: float
    differing: int = Field(
        description="Number of rows that differed from the log; after a version change, of rows that are new."
    )
    swapped: bool


class Projection(Shape):
    """A read model. `version` is the version of its rows, `programVersion` the one that this server writes."""

    name: str
    kind: Literal["async", "inline"] = Field(
        description="`inline`: updated in the transaction that appends the events. `async`: updated by a projector."
    )
    version: int
    program_version: int
    position: int
    lag_events: int
    lag_seconds: float = Field(description="Age of the oldest event that it has not applied yet.")
    state: Literal["live", "stopped"]
    stopped_at: int | None = Field(description="Log position of the event that it cannot apply.")
    error: str | None
    rebuild: RebuildProgress | None
    last_rebuild: LastRebuild | None


class ProjectionList(Shape):
    """The read models, sorted by name."""

    projections: list[Projection]
