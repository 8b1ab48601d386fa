"""The remote entry: what an engine's worker, or `orchestrator step`, does with one attempt. Read from top to bottom.

    compare versions -> is there a record? -> begin, once -> perform in a slot -> write the record

Only the record counts. The returned text is a wake-up for the owner: it says why there is no record, if there is none.
"""

import platform
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from os import getpid
from typing import Any, Final, Protocol

import orjson

from orchestrator.artifacts.opened import open_blobs
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.clusters.contract import Ended, Record, Work, fence_hash
from orchestrator.clusters.forms import (
    MAX_WORK_BYTES,
    InvalidForm,
    error_from_json,
    work_from_json,
    work_to_json,
)
from orchestrator.clusters.records import Records
from orchestrator.clusters.slots import Slot, SlotEnded, Slots, SlotUnusable
from orchestrator.domain.output import StepError, output_from_json
from orchestrator.skills.errors import SKILL_CANCELLED, SKILL_TIMEOUT, WORKER_LOST

EXECUTOR_MISMATCH: Final = "EXECUTOR_MISMATCH"

GRACE_SECONDS = 5.0
"""How long a skill that was asked to stop may take before its process is killed."""

_BEAT_SECONDS = 0.5
_REASON_CHARACTERS = 2_000

SLOTS = Slots()
"""The slots of this process."""


class Beats(Protocol):
    """Tells the owner that an attempt executes, and brings back what the owner wants."""

    def beat(self, work: Work) -> str | None:
        """Return `stop` or `kill` if the attempt must stop, else None. Raises OSError if nobody answers."""
        ...


@dataclass(frozen=True, slots=True)
class StoreBeats:
    """Looks in the artifact store whether the owner wants an attempt to stop."""

    records: Records

    def beat(self, work: Work) -> str | None:
        """Return `stop`, `kill` or None."""
        return self.records.asked(work.call.tenant, work.name)


class Mismatch(Exception):
    """This place must not perform the attempt: it has other versions. The message names both."""


def envelope(work: Work, store: ArtifactStore) -> str:
    """Return what an adapter sends: the attempt, the artifact store, and the versions that the remote side needs.

    Raises:
        InvalidForm: the attempt is larger than `MAX_WORK_BYTES`.
    """
    document = {
        "python": _python(),
        "orchestrator": version("orchestrator"),
        "work": work_to_json(work),
        "store": {"url": store.url, "spillBytes": store.spill_bytes},
    }
    text = orjson.dumps(document)
    if len(text) > MAX_WORK_BYTES:
        raise InvalidForm(f"attempt {work.name} has {len(text)} bytes as JSON; the limit is {MAX_WORK_BYTES}")
    return text.decode()


def execute(text: str, wanted: Callable[[], str | None] = lambda: None) -> str:
    """Execute one attempt, and return JSON: `{"name", "reason", "code"}`, see `Ended`. Blocks until it has ended.

    Args:
        text: what `envelope` returned.
        wanted: returns `stop` or `kill` if this process was told to stop the attempt.

    Raises:
        InvalidForm: the text is not an attempt in a form that this program can read.
    """
    document = _read(text)
    work, store = work_from_json(document["work"]), document["store"]
    records = _records(store["url"])
    ended = _execute(document, work, records, StoreBeats(records), wanted)
    return orjson.dumps({"name": work.name, "reason": ended.reason, "code": ended.code}).decode()


class NotExecuted(Exception):
    """How an engine's task ends when there is no record: with the text that `execute` returned."""


def run(text: str) -> None:
    """Execute one attempt, as the task of an engine. It returns nothing, so an engine never has to compute it again.

    Raises:
        NotExecuted: there is no record; `ended_of` reads the reason from it.
    """
    told = execute(text)
    if ended_from_json(told).reason is not None:
        raise NotExecuted(told)


def ended_of(error: BaseException | None) -> Ended:
    """Return what an engine's task said that ended with this error, or with none."""
    if error is None:
        return Ended()
    if isinstance(error, NotExecuted):
        return ended_from_json(str(error))
    return Ended(f"{type(error).__name__}: {error}"[:_REASON_CHARACTERS])


def ended_from_json(text: str) -> Ended:
    """Return what `execute` said."""
    document = orjson.loads(text)
    return Ended(document.get("reason"), document.get("code"))


def _execute(
    document: Mapping[str, Any], work: Work, records: Records, beats: Beats, wanted: Callable[[], str | None]
) -> Ended:
    key = work.call.tenant, work.name, fence_hash(work.fence)
    try:
        _compare_programs(document)
        if records.read(*key) is not None:
            return Ended()
        if beats.beat(work) is not None:
            return Ended("the attempt was cancelled before it began")
        slot = SLOTS.take()
    except (Mismatch, SlotUnusable) as error:
        return Ended(str(error), EXECUTOR_MISMATCH)
    try:
        _compare_skill(work, slot)
    except Mismatch as error:
        SLOTS.put_back(slot)
        return Ended(str(error), EXECUTOR_MISMATCH)
    if not records.begin(*key, f"{socket.gethostname()} {getpid()}"):
        SLOTS.put_back(slot)
        began = "the attempt has begun before: it executes elsewhere, or its process was lost"
        return Ended(None if records.read(*key) is not None else began, None)
    record = _performed(document, work, slot, beats, wanted)
    if isinstance(record, Ended):
        return record
    records.write(*key, record)
    return Ended()


def _performed(
    document: Mapping[str, Any], work: Work, slot: Slot, beats: Beats, wanted: Callable[[], str | None]
) -> Record | Ended:
    """Perform an attempt in a slot, and stop it when the owner wants it or its time is over."""
    began = time.monotonic()
    try:
        slot.send({"work": document["work"], "store": document["store"]})
        answer = _watched(work, slot, beats, wanted)
    except _Stopped as stopped:
        return Record(stopped.error, (time.monotonic() - began) * 1000)
    except SlotEnded as ended:
        slot.kill()
        lost = StepError(WORKER_LOST, f"the attempt was lost: {ended}", retryable=True)
        return Record(lost, (time.monotonic() - began) * 1000)
    except BaseException:
        slot.kill()
        raise
    if "unfit" in answer:
        slot.kill()
        return Ended(str(answer["unfit"]), WORKER_LOST)
    SLOTS.put_back(slot)
    error = answer.get("error")
    outcome = output_from_json(answer["output"]) if error is None else error_from_json(error)
    return Record(outcome, float(answer["durationMs"]))


class _Stopped(Exception):
    """The attempt was killed."""

    def __init__(self, error: StepError) -> None:
        super().__init__(error.message)
        self.error = error


def _watched(work: Work, slot: Slot, beats: Beats, wanted: Callable[[], str | None]) -> dict[str, Any]:
    """Return the answer of a slot. Meanwhile beat, and stop the attempt if that is wanted."""
    limit_ms = work.call.timeout_ms
    limit = None if limit_ms is None else time.monotonic() + limit_ms / 1000 + GRACE_SECONDS
    asked: float | None = None
    while (answer := slot.answer(_BEAT_SECONDS)) is None:
        order = wanted() or _order(work, beats)
        now = time.monotonic()
        if order is not None and asked is None:
            asked = now
            slot.ask_to_stop()
        if order == "kill" or (asked is not None and now - asked > GRACE_SECONDS):
            slot.kill()
            raise _Stopped(StepError(SKILL_CANCELLED, "the attempt was killed", retryable=False))
        if limit is not None and now > limit:
            slot.kill()
            raise _Stopped(StepError(SKILL_TIMEOUT, f"{work.call.skill_id} did not stop after {limit_ms} ms"))
    if asked is not None and "error" in answer:
        answer["error"]["code"] = SKILL_CANCELLED
        answer["error"]["retryable"] = False
    return answer


def _order(work: Work, beats: Beats) -> str | None:
    """Return what the owner wants. While nobody answers, the attempt goes on."""
    try:
        return beats.beat(work)
    except OSError:
        return None


def _read(text: str) -> Mapping[str, Any]:
    if len(text) > MAX_WORK_BYTES:
        raise InvalidForm(f"the attempt has {len(text)} bytes as JSON; the limit is {MAX_WORK_BYTES}")
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidForm(f"the attempt is not JSON: {error}") from error
    for name in ("work", "store"):
        if not isinstance(document, Mapping) or not isinstance(document.get(name), Mapping):
            raise InvalidForm(f"`{name}` must be an object; send what an executor sends")
    store = document["store"]
    if not isinstance(store.get("url"), str) or not isinstance(store.get("spillBytes"), int):
        raise InvalidForm("`store` must have `url`, a text, and `spillBytes`, a whole number")
    return dict(document)


def _compare_programs(document: Mapping[str, Any]) -> None:
    for name, has in (("python", _python()), ("orchestrator", version("orchestrator"))):
        needed = document.get(name)
        if needed != has:
            raise Mismatch(f"{name} {needed} is needed, but the executor has {has}; install equal versions")


def _compare_skill(work: Work, slot: Slot) -> None:
    labels = slot.skills.get(work.call.skill_id)
    if labels is None:
        raise Mismatch(f"{work.skill} is needed, but the executor has no such skill; set ORCHESTRATOR_SKILLS there")
    if work.skill not in labels:
        has = labels[1] if "+" in work.skill else labels[0]
        raise Mismatch(f"{work.skill} is needed, but the executor has {has}; install equal versions")


def _python() -> str:
    return ".".join(platform.python_version_tuple()[:2])


@cache
def _records(url: str) -> Records:
    return Records(open_blobs(url, read_only=True))
