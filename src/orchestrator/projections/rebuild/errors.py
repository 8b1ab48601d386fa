"""Errors about read models.

DomainError
├── ProjectionNotFound      there is no read model of this name
├── ProjectionNotLoaded     it is a custom one, and cannot be kept
├── ProjectionNotStopped    only one that stopped at an event can be sent on
├── RebuildRunning          another process is rebuilding it right now
├── RebuildStopped          an event cannot be applied, and nobody passed over it
├── RebuildInterrupted      stopped on request; the next one goes on from there
└── ProgramTooOld           the rows were made by a newer program
"""

from orchestrator.domain.errors import DomainError


class ProjectionNotFound(DomainError):
    """There is no read model of this name."""

    code = "PROJECTION_NOT_FOUND"


class ProjectionNotLoaded(DomainError):
    """The read model of another package cannot be loaded, or its table cannot be made."""

    code = "PROJECTION_NOT_LOADED"


class ProjectionNotStopped(DomainError):
    """Only a read model that stopped at an event can be sent on."""

    code = "PROJECTION_NOT_STOPPED"


class RebuildRunning(DomainError):
    """Another process is rebuilding this read model right now."""

    code = "REBUILD_RUNNING"


class RebuildStopped(DomainError):
    """The read model cannot apply an event that nobody passed over."""

    code = "REBUILD_STOPPED"

    def __init__(self, name: str, position: int, cause: str) -> None:
        super().__init__(f"{name} cannot apply the event at position {position}: {cause}", position=position)
        self.name = name
        self.position = position
        self.cause = cause

    def __reduce__(self) -> tuple[type["RebuildStopped"], tuple[str, int, str]]:
        """Return how it is made again in another process."""
        return type(self), (self.name, self.position, self.cause)


class RebuildInterrupted(DomainError):
    """The rebuild was stopped on request; the next one goes on from there."""

    code = "REBUILD_INTERRUPTED"


class ProgramTooOld(DomainError):
    """The live read model was made by a newer program."""

    code = "PROGRAM_TOO_OLD"
