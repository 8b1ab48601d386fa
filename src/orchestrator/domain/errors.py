"""Errors of the domain. The docstring of each is its message's first words.

    DomainError
    ├── InvalidWorkflow            every fault of a definition, each with its path
    ├── InvalidPayload             the trigger payload breaks the workflow's payloadSchema
    ├── WorkflowNotFound
    ├── WorkflowVersionExists      the same version was registered with other content
    ├── RunNotFound
    │   └── RunArchived
    ├── CommandRefused             a rule says no; nothing was changed
    │   ├── RunFinished            terminal states are final
    │   ├── RunNotCancellable
    │   ├── RunNotRetryable
    │   ├── BaseRunNotCompleted
    │   ├── StaleAttempt           another attempt, or another worker, is in charge by now
    │   └── PlanChanged
    ├── UnknownChangeType
    ├── UnknownStep
    ├── IdempotencyConflict        the same idempotency key was used with another request
    ├── VersionConflict            somebody else appended first: reload and decide again
    ├── NeedsNewerProgram          a newer program wrote what this one does not know
    ├── FormatNotFinished          older programs that do not know it may still be at work
    └── InputNotCanonical          a value that has no canonical JSON form
        └── ValueTooLarge          a value that expands to more than can be hashed

HTTP status codes live in `api/errors.py` only.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from orchestrator.domain.spelling import did_you_mean

MAX_FAULTS = 100
"""How many faults of one document are listed."""

MAX_TOLD = 20
"""How many of them the message of the error names."""

_MAX_PATH = 1_000
_MAX_MESSAGE = 2_000


class DomainError(Exception):
    """A rule of the domain says no."""

    code = "DOMAIN_ERROR"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details: Mapping[str, Any] = details


@dataclass(frozen=True, slots=True)
class Fault:
    """One problem of a definition: `path` of the field at fault (`steps[2].dependsOn[0]`) and what is wrong.

    Both are cut where they are longer than people read: what they quote may be of any length.
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
    """A document has faults. The first `MAX_FAULTS` are listed; the message names the first `MAX_TOLD`."""

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
    """No such workflow, or no such version of it."""

    code = "WORKFLOW_NOT_FOUND"


class WorkflowVersionExists(DomainError):
    """This version is registered with other content; versions are immutable."""

    code = "VERSION_EXISTS"


class RunNotFound(DomainError):
    """No such run."""

    code = "RUN_NOT_FOUND"


class RunArchived(RunNotFound):
    """The run ended long ago and has left for the archive."""

    code = "RUN_ARCHIVED"


class CommandRefused(DomainError):
    """The run's state does not allow the command; nothing was changed."""

    code = "COMMAND_REFUSED"


class RunFinished(CommandRefused):
    """The run is finished; terminal states are final."""

    code = "RUN_FINISHED"


class RunNotCancellable(CommandRefused):
    """The run is finished and can no longer be cancelled."""

    code = "RUN_NOT_CANCELLABLE"


class RunNotRetryable(CommandRefused):
    """Only failed and cancelled runs can be retried."""

    code = "RUN_NOT_RETRYABLE"


class BaseRunNotCompleted(CommandRefused):
    """An update needs a base run that is completed."""

    code = "BASE_RUN_NOT_COMPLETED"


class StaleAttempt(CommandRefused):
    """The attempt is not the one in charge of the step."""

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
        """Return the error about a step that a workflow does not have, with the one that was probably meant."""
        return cls(f"workflow {workflow} has no step {step!r}{did_you_mean(step, known)}", step=step)


class IdempotencyConflict(DomainError):
    """The idempotency key was used before, with another request."""

    code = "IDEMPOTENCY_CONFLICT"


class VersionConflict(DomainError):
    """The stream has moved on since it was read; reload it and decide again."""

    code = "VERSION_CONFLICT"


class NeedsNewerProgram(DomainError):
    """A newer program wrote something that this one does not know, so it leaves it alone."""

    code = "NEEDS_NEWER_PROGRAM"


class FormatNotFinished(DomainError):
    """What was asked for cannot be written yet: programs that do not know it may still be at work."""

    code = "FORMAT_NOT_FINISHED"


class InputNotCanonical(DomainError):
    """A value has no canonical JSON form (RFC 8785), so it cannot be hashed."""

    code = "SKILL_INPUT_NOT_CANONICAL"


class ValueTooLarge(InputNotCanonical):
    """A value expands to more than can be hashed and stored."""

    code = "SKILL_INPUT_TOO_LARGE"
