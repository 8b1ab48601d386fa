"""Errors of skills, and the conversion of any exception to the `StepError` that is recorded in the log.

SkillError                     what a skill raises to say how an attempt failed
├── SkillNotFound              this process does not have the skill: the run is blocked, not failed
└── SecretNotFound             no source has a secret that the skill needs; in `secrets`
WorkerUnfit                    this worker lacks a resource to make the attempt: it counts as lost, not as failed
DomainError
├── SkillConflict              two different skills have the same id
├── InvalidSkills              a source of skills cannot be loaded; all faults are listed
└── MissingSecrets             skills declare secrets that no source has; all of them are listed
"""

import asyncio
import os
import traceback
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import orjson

from orchestrator.domain.bounds import MAX_PAUSE_MS
from orchestrator.domain.errors import DomainError, Fault
from orchestrator.domain.fingerprint import MAX_NESTING, is_nested_deeper
from orchestrator.domain.output import StepError
from orchestrator.skills.masking import mask, mask_json

SKILL_NOT_FOUND: Final = "SKILL_NOT_FOUND"
SKILL_INPUT_INVALID: Final = "SKILL_INPUT_INVALID"
SKILL_OUTPUT_INVALID: Final = "SKILL_OUTPUT_INVALID"
SKILL_EXECUTION_FAILED: Final = "SKILL_EXECUTION_FAILED"
SKILL_TIMEOUT: Final = "SKILL_TIMEOUT"
SKILL_CANCELLED: Final = "SKILL_CANCELLED"
SECRET_NOT_FOUND: Final = "SECRET_NOT_FOUND"  # noqa: S105 - a code
SECRET_IN_OUTPUT: Final = "SECRET_IN_OUTPUT"  # noqa: S105 - a code
WORKER_LOST: Final = "WORKER_LOST"

# Another attempt with the same input and the same code would fail the same way.
NEVER_RETRYABLE: Final = frozenset(
    {SKILL_NOT_FOUND, SKILL_INPUT_INVALID, SKILL_OUTPUT_INVALID, SKILL_CANCELLED, SECRET_IN_OUTPUT}
)

_MESSAGE_CHARACTERS = 2_000
_TRACEBACK_FRAMES = 8
_TRACEBACK_CHARACTERS = 4_000
_DETAILS_BYTES = 16_384
_ENDS = (SystemExit, KeyboardInterrupt)
_MAX_CAUSES = 3
_OURS = (f"{Path(__file__).parents[1]}{os.sep}", f"{Path(asyncio.__file__).parent}{os.sep}")
"""Where the frames are that lead to a skill: this program and the event loop."""


class SkillError(Exception):
    """The attempt failed for a reason the skill can name.

    Args:
        code: the machine-readable code: one of the codes above, or one that the skill defines.
        message: the human-readable message.
        retryable: whether another attempt may succeed; None derives it from the code.
        details: JSON with further information.
        retry_after_ms: the minimum time in milliseconds before the next attempt.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool | None = None,
        details: Mapping[str, Any] | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.retryable = code not in NEVER_RETRYABLE if retryable is None else retryable
        self.details: Mapping[str, Any] = dict(details or {})
        self.retry_after_ms = retry_after_ms

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    def __reduce__(self) -> tuple[Any, ...]:
        # By default an exception is unpickled by calling its class with `args`, which subclasses may not accept.
        return _restore, (type(self), self.args, self.__dict__)


class SkillNotFound(SkillError):
    """This process has no skill with this id."""

    def __init__(self, skill_id: str, known: Iterable[str] = ()) -> None:
        close = get_close_matches(skill_id, list(known), n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        super().__init__(
            SKILL_NOT_FOUND,
            f"unknown skill {skill_id!r}{hint}",
            details={"skillId": skill_id, "closeMatches": close},
        )


class WorkerUnfit(Exception):
    """This process lacks a resource that every attempt needs. It is not the skill's fault; retry elsewhere."""


class StoreAway(WorkerUnfit):
    """The artifact store is unavailable. It is not the skill's fault; retry when the store answers."""


class SkillConflict(DomainError):
    """Two different skills have the same id."""

    code = "SKILL_CONFLICT"


class InvalidSkills(DomainError):
    """A source of skills cannot be loaded; all of its faults are listed."""

    code = "VALIDATION_ERROR"

    def __init__(self, source: str, faults: Sequence[Fault]) -> None:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        listed = "\n".join(f"  {fault}" for fault in faults)
        super().__init__(
            f"{source} has {count}:\n{listed}",
            faults=[{"path": fault.path, "message": fault.message} for fault in faults],
        )
        self.faults = tuple(faults)


class MissingSecrets(DomainError):
    """Skills declare secrets that no source has, or whose values cannot be sent; one line for each."""

    code = SECRET_NOT_FOUND

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(mask(line) for line in lines))


def to_step_error(exception: BaseException) -> StepError:
    """Convert an exception to the StepError that the log records: text of limited length, and details in plain JSON.

    Values of secrets are replaced by `***`. Never raises, even if the exception's own code, such as `__str__`, fails.
    """
    try:
        return _read(exception)
    except BaseException:  # noqa: BLE001 - the skill's own code, such as `__str__`, ran here
        return StepError(SKILL_EXECUTION_FAILED, "the skill raised an exception that cannot be read")


def to_skill_error(found: StepError) -> SkillError:
    """Convert a StepError to an exception."""
    return SkillError(
        found.code,
        found.message,
        retryable=found.retryable,
        details=found.details,
        retry_after_ms=found.retry_after_ms,
    )


def describe(exception: BaseException) -> str:
    """Return the type and message of any exception, on one or more lines, as text that can be stored."""
    try:
        text = str(exception)
    except BaseException:  # noqa: BLE001 - a broken __str__ must not hide the failure it belongs to
        text = "(its message cannot be read)"
    name = type(exception).__name__
    return readable(f"{name}: {text}" if text else name)


def _read(exception: BaseException) -> StepError:
    while isinstance(exception, BaseExceptionGroup) and len(exception.exceptions) == 1:
        exception = exception.exceptions[0]
    match exception:
        case SkillError():
            return StepError(
                readable(str(exception.code)),
                readable(str(exception.message)),
                json_details(exception.details),
                bool(exception.retryable),
                _pause_ms(exception.retry_after_ms),
            )
        case DomainError():
            return StepError(
                exception.code, readable(exception.message), json_details(exception.details), retryable=False
            )
        case asyncio.CancelledError():
            return StepError(SKILL_CANCELLED, "the attempt was cancelled", retryable=False)
        case BrokenExecutor():
            return StepError(WORKER_LOST, f"the process that ran the skill is gone: {describe(exception)}")
        case _:
            tried = "the skill tried to exit the process: " if isinstance(exception, _ENDS) else ""
            return StepError(
                SKILL_EXECUTION_FAILED,
                tried + describe(exception),
                {"type": _type_name(exception), "traceback": _short_traceback(exception), **_causes(exception)},
            )


def _pause_ms(wanted: object) -> int | None:
    """Return the pause that a skill requested, limited to the allowed range; None if it is not a number."""
    if isinstance(wanted, bool) or not isinstance(wanted, int | float) or wanted != wanted:  # noqa: PLR0124 - NaN
        return None
    return round(min(max(0, wanted), MAX_PAUSE_MS))


def readable(text: str, limit: int = _MESSAGE_CHARACTERS) -> str:
    """Return text that can be stored anywhere: no secret, NUL or lone surrogate, and at most `limit` characters."""
    clean = mask(text).replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    return clean if len(clean) <= limit else f"{clean[: limit - 1]}…"


def json_details(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return details as plain JSON of at most 16 KiB without secrets; values that are not JSON become their repr."""
    try:
        content = orjson.dumps(dict(details), default=_safe_repr, option=orjson.OPT_NON_STR_KEYS)
        plain = not is_nested_deeper(details, MAX_NESTING)
    except BaseException:  # noqa: BLE001 - the skill's own code ran here
        return {"repr": readable(_safe_repr(details))}
    if len(content) > _DETAILS_BYTES or rb"\u0000" in content or not plain:
        return {"json": readable(content.decode().replace(r"\u0000", ""), _DETAILS_BYTES // 4)}
    kept: dict[str, Any] = mask_json(orjson.loads(content))
    return kept


def _restore(kind: type[SkillError], args: tuple[Any, ...], state: dict[str, Any]) -> SkillError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


def _type_name(exception: BaseException) -> str:
    kind = type(exception)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _short_traceback(exception: BaseException) -> str:
    """Return the innermost frames of the traceback, without the frames of this program that lead to the skill."""
    frames = list(traceback.extract_tb(exception.__traceback__))
    skill = next((place for place, frame in enumerate(frames) if not frame.filename.startswith(_OURS)), 0)
    shown = frames[skill:][-_TRACEBACK_FRAMES:]
    return readable("".join(traceback.format_list(shown)), _TRACEBACK_CHARACTERS)


def _causes(exception: BaseException) -> dict[str, list[str]]:
    """Return the exceptions that led to this one, the direct cause first, if there are any."""
    causes: list[str] = []
    cause = exception.__cause__ or (None if exception.__suppress_context__ else exception.__context__)
    while cause is not None and len(causes) < _MAX_CAUSES:
        causes.append(describe(cause))
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return {"causes": causes} if causes else {}


def _safe_repr(value: object) -> str:
    try:
        return repr(value)
    except BaseException:  # noqa: BLE001 - the same
        return f"<{type(value).__name__}>"
