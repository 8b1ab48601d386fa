"""Errors about read models.

DomainError
├── ProjectionNotFound      there is no read model with this name
├── ProjectionNotLoaded     a custom read model cannot be loaded, or its table cannot be created
├── ProjectionNotStopped    only a stopped read model can be retried or skip an event
├── RebuildRunning          the read model is already being rebuilt
├── RebuildStopped          an event cannot be applied, and was not skipped by an operator
├── RebuildInterrupted      the rebuild was stopped on request; the next one continues from there
└── ProgramTooOld           a newer release wrote the rows
"""

from orchestrator.domain.errors import DomainError


class ProjectionNotFound(DomainError):
    """There is no read model with this name."""

    code = "PROJECTION_NOT_FOUND"


class ProjectionNotLoaded(DomainError):
    """A custom read model cannot be loaded, or its table cannot be created."""

    code = "PROJECTION_NOT_LOADED"


class ProjectionNotStopped(DomainError):
    """The read model is not stopped, so there is no event to retry or skip."""

    code = "PROJECTION_NOT_STOPPED"


class RebuildRunning(DomainError):
    """The read model is already being rebuilt."""

    code = "REBUILD_RUNNING"


class RebuildStopped(DomainError):
    """The read model cannot apply an event, and no operator has skipped it."""

    code = "REBUILD_STOPPED"

    def __init__(self, name: str, position: int, cause: str) -> None:
        super().__init__(f"{name} cannot apply the event at position {position}: {cause}", position=position)
        self.name = name
        self.position = position
        self.cause = cause

    def __reduce__(self) -> tuple[type["RebuildStopped"], tuple[str, int, str]]:
        """Return how to unpickle the error in another process."""
        return type(self), (self.name, self.position, self.cause)


class RebuildInterrupted(DomainError):
    """The rebuild was stopped on request; the next one continues from there."""

    code = "REBUILD_INTERRUPTED"


class ProgramTooOld(DomainError):
    """A newer release wrote the live read model."""

    code = "PROGRAM_TOO_OLD"
