"""Errors of the domain. The docstring of each says what it means.

    DomainError
    ├── InvalidWorkflow            the definition has faults, each with its path
    ├── InvalidPayload             the trigger payload does not match the workflow's payloadSchema
    ├── WorkflowNotFound
    ├── WorkflowVersionExists      the same version was registered with other content
    ├── WorkflowIsRetired          the workflow takes no new runs
    ├── RunNotFound
    │   ├── RunArchived
    │   └── RunDeleted
    ├── CommandRefused             a rule says no; nothing was changed
    │   ├── RunFinished            terminal states are final
    │   ├── RunNotFinished         only finished runs can be deleted
    │   ├── RunNeeded              other runs need it, so it cannot be deleted
    │   ├── RunNotCancellable
    │   ├── RunNotRetryable
    │   ├── BaseRunNotCompleted
    │   ├── StaleAttempt           another attempt or another worker has taken over
    │   └── PlanChanged
    ├── UnknownChangeType
    ├── UnknownStep
    ├── IdempotencyConflict        the same idempotency key was used with another request
    ├── VersionConflict            another writer appended first: reload and decide again
    ├── NeedsNewerProgram          a newer program wrote something that this one does not know
    ├── FormatNotFinished          programs that do not know the format may still be running
    └── InputNotCanonical          the value has no canonical JSON form
        └── ValueTooLarge          the value expands to more than can be hashed

HTTP status codes are defined in `api/errors.py` only.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from orchestrator.domain.spelling import did_you_mean

MAX_FAULTS = 100
"""The maximum number of faults listed for one document."""

MAX_TOLD = 20
"""The maximum number of faults named in the error message."""

_MAX_PATH = 1_000
_MAX_MESSAGE = 2_000


class DomainError(Exception):
    """A rule of the domain was violated."""

    code = "DOMAIN_ERROR"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details: Mapping[str, Any] = details


@dataclass(frozen=True, slots=True)
class Fault:
    """One problem in a definition: the `path` of the field (`steps[2].dependsOn[0]`) and what is wrong with it.

    Long paths and messages are shortened, because the input they quote can be of any length.
    """

    path: str
    message: str

    def __post_init__(self) -> None:
        for name, text, most in (("path", self.path, _MAX_PATH), ("message", self.message, _MAX_MESSAGE)):
            if len(text) > most:
                object.__setattr__(self, name, f"{text[: most * 2 // 3]} ... {text[-(most // 3 - 5) :]}")

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class InvalidDocument(DomainError):
    """A document has faults. Up to `MAX_FAULTS` are listed; the message names up to `MAX_TOLD`."""

    code = "VALIDATION_ERROR"

    def __init__(self, faults: Sequence[Fault], source: str = "document") -> None:
        listed = tuple(faults[:MAX_FAULTS])
        count = "1 fault" if len(faults) == 1 else f"{len(listed)} faults"
        if len(faults) > MAX_FAULTS:
            count = f"more than {count}"
        lines = [f"  {fault}" for fault in listed[:MAX_TOLD]]
        if len(listed) > MAX_TOLD:
            left = len(listed) - MAX_TOLD
            lines.append(f"  and more than {left} others" if len(faults) > MAX_FAULTS else f"  and {left} more")
        super().__init__(
            f"{source} has {count}:\n" + "\n".join(lines),
            faults=[{"path": fault.path, "message": fault.message} for fault in listed],
        )
        self.faults = tuple(faults[: MAX_FAULTS + 1])


class InvalidWorkflow(InvalidDocument):
    """The workflow definition has faults, each with its path."""

    def __init__(self, faults: Sequence[Fault], source: str = "workflow") -> None:
        super().__init__(faults, source)


class InvalidPayload(DomainError):
    """The trigger payload does not match the workflow's payloadSchema."""

    code = "VALIDATION_ERROR"


class WorkflowNotFound(DomainError):
    """The workflow, or this version of it, does not exist."""

    code = "WORKFLOW_NOT_FOUND"


class WorkflowVersionExists(DomainError):
    """This version is already registered with different content; versions are immutable."""

    code = "VERSION_EXISTS"


class WorkflowIsRetired(DomainError):
    """The workflow, or this version of it, was retired: it takes no new runs."""

    code = "WORKFLOW_RETIRED"


class RunNotFound(DomainError):
    """The run does not exist."""

    code = "RUN_NOT_FOUND"


class RunArchived(RunNotFound):
    """The run ended long ago and was moved to the archive."""

    code = "RUN_ARCHIVED"


class RunDeleted(RunNotFound):
    """The run was deleted for good."""

    code = "RUN_DELETED"


class CommandRefused(DomainError):
    """The run's state does not allow the command; nothing was changed."""

    code = "COMMAND_REFUSED"


class RunFinished(CommandRefused):
    """The run is finished; terminal states are final."""

    code = "RUN_FINISHED"


class RunNotFinished(CommandRefused):
    """The run is not finished; cancel it first."""

    code = "RUN_NOT_FINISHED"


class RunNeeded(CommandRefused):
    """Other runs are based on the run or use its results; delete them first."""

    code = "RUN_NEEDED"


class RunNotCancellable(CommandRefused):
    """The run is finished and can no longer be cancelled."""

    code = "RUN_NOT_CANCELLABLE"


class RunNotRetryable(CommandRefused):
    """Only failed and cancelled runs can be retried."""

    code = "RUN_NOT_RETRYABLE"


class BaseRunNotCompleted(CommandRefused):
    """An update needs a completed base run."""

    code = "BASE_RUN_NOT_COMPLETED"


class StaleAttempt(CommandRefused):
    """The attempt is not the step's current one."""

    code = "STALE_ATTEMPT"


class PlanChanged(CommandRefused):
    """The plan would now differ from the one that was approved."""

    code = "PLAN_CHANGED"


class UnknownChangeType(DomainError):
    """The workflow does not declare this change type."""

    code = "UNKNOWN_CHANGE_TYPE"


class UnknownStep(DomainError):
    """The workflow has no such step."""

    code = "VALIDATION_ERROR"

    @classmethod
    def of(cls, workflow: str, step: str, known: Iterable[str]) -> Self:
        """Return the error for an unknown step, with a suggestion for the name that was probably meant."""
        return cls(f"workflow {workflow} has no step {step!r}{did_you_mean(step, known)}", step=step)


class IdempotencyConflict(DomainError):
    """The idempotency key was already used with a different request."""

    code = "IDEMPOTENCY_CONFLICT"


class VersionConflict(DomainError):
    """The stream has changed since it was read; reload it and decide again."""

    code = "VERSION_CONFLICT"


class NeedsNewerProgram(DomainError):
    """A newer program wrote something that this one does not know and must not touch."""

    code = "NEEDS_NEWER_PROGRAM"


class FormatNotFinished(DomainError):
    """The format cannot be written yet: programs that do not know it may still be running."""

    code = "FORMAT_NOT_FINISHED"


class InputNotCanonical(DomainError):
    """A value has no canonical JSON form (RFC 8785), so it cannot be hashed."""

    code = "SKILL_INPUT_NOT_CANONICAL"


class ValueTooLarge(InputNotCanonical):
    """A value expands to more than can be hashed and stored."""

    code = "SKILL_INPUT_TOO_LARGE"
