"""Call a skill in a test."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from uuid_utils import uuid7

from orchestrator.application.clock import now
from orchestrator.domain.commands import CompleteStep, FailStep
from orchestrator.domain.fingerprint import canonical, canonical_value
from orchestrator.domain.output import StepError
from orchestrator.skills.call import SkillCall
from orchestrator.skills.connections import close_connections
from orchestrator.skills.errors import WorkerUnfit
from orchestrator.skills.registry import SkillRegistry
from orchestrator.telemetry.tracing import OFF
from orchestrator.testing.collected import TENANT, CollectedArtifact, CollectedLog, collected, memory_store
from orchestrator.testing.executor import CollectingExecutor
from orchestrator.testing.sources import SkillSource, checked_timeout, registry_of, run_blocking
from orchestrator.workers.attempts import Attempts

_ABANDON_SECONDS = 1.0
MAX_ATTEMPT = 1_000_000


@dataclass(frozen=True)
class Called:
    """What a call of a skill left behind.

    Attributes:
        error: why it failed, as it would be recorded, or None.
        exception: the exception of a call that failed, or None.
        artifacts: its artifacts with their bytes, in the order they were stored.
        logs: what it said with `ctx.log`.
        progress: what it reported with `ctx.progress`: pairs of fraction and message.
    """

    error: StepError | None
    exception: Exception | None
    artifacts: list[CollectedArtifact]
    logs: list[CollectedLog]
    progress: list[tuple[float, str]]
    _data: Any = field(repr=False)

    @property
    def data(self) -> Any:
        """The result, as plain JSON. If the call failed, its exception is raised."""
        if self.exception is not None:
            raise self.exception
        return self._data


def call(
    skill: SkillSource,
    input: Any = None,  # noqa: A002 - the same name as everywhere else
    *,
    skills: SkillRegistry | SkillSource | Iterable[SkillSource] = (),
    secrets: Mapping[str, str] | None = None,
    attempt: int = 1,
    timeout_seconds: float = 60.0,
) -> Called:
    """Call a skill as a worker does, and return what it left behind. It does not raise when the skill fails.

    The input is checked and converted, the result and the artifacts are checked, and errors are those of a run. In a
    coroutine, await `acall`.

    Args:
        skill: a function with `@skill`, any other skill, or the id of one of `skills`.
        input: the input, as plain JSON values.
        skills: where to look up an id: functions, modules, or sources as for `--skills`.
        secrets: what `ctx.secret(name)` returns, by name.
        attempt: the number of the attempt, from 1.
        timeout_seconds: the time limit of the attempt, at most a day. After it, the error is SKILL_TIMEOUT.

    Raises:
        InputNotCanonical: the input is not JSON; the message names the path.
        SkillNotFound: `skills` has no skill with this id.
        ValueError: the attempt or the time limit is out of bounds.
        RuntimeError: an event loop is running in this thread.
    """
    return run_blocking(
        acall(skill, input, skills=skills, secrets=secrets, attempt=attempt, timeout_seconds=timeout_seconds), "acall"
    )


async def acall(
    skill: SkillSource,
    input: Any = None,  # noqa: A002
    *,
    skills: SkillRegistry | SkillSource | Iterable[SkillSource] = (),
    secrets: Mapping[str, str] | None = None,
    attempt: int = 1,
    timeout_seconds: float = 60.0,
) -> Called:
    """Call a skill; see `call`."""
    if not 1 <= attempt <= MAX_ATTEMPT:
        raise ValueError(f"attempt must be from 1 to {MAX_ATTEMPT:,}, not {attempt!r}")
    limit = checked_timeout(timeout_seconds)
    registry, skill_id = _found(skill, skills)
    executor = CollectingExecutor(registry, memory_store(), {}, secrets or {})
    ended = asyncio.Event()
    attempts = Attempts(executor, now, OFF, ended.set, _ABANDON_SECONDS)
    given = canonical_value(canonical(input), orjson.loads)
    attempts.launch([SkillCall(str(uuid7()), skill_id, attempt, TENANT, skill_id, given, max(1, round(limit * 1000)))])
    try:
        await ended.wait()
    finally:
        await attempts.end("test")
        await close_connections()
    return await asyncio.to_thread(_called, executor, attempts, skill_id)


def _found(
    skill: SkillSource, skills: SkillRegistry | SkillSource | Iterable[SkillSource]
) -> tuple[SkillRegistry, str]:
    if isinstance(skill, str):
        registry = registry_of(skills)
        return registry, registry.get(skill).id
    registry = registry_of([skill])
    if len(registry) != 1:
        raise TypeError(f"{skill!r} holds {len(registry)} skills; pass one of them")
    return registry, registry.ids[0]


def _called(executor: CollectingExecutor, attempts: Attempts, skill_id: str) -> Called:
    (context,) = executor.contexts
    exception = executor.exceptions.get(skill_id)
    outcome = next(iter(attempts.take()), None)
    match outcome:
        case CompleteStep(output=output):
            store = memory_store()
            artifacts = collected(store, output.artifacts)
            return Called(None, None, artifacts, context.logs, context.reported, store.load_data(output, TENANT))
        case FailStep(error=error):
            exception = exception or CallFailed(f"{error.code}: {error.message}")
            artifacts = collected(memory_store(), context.artifacts)
            return Called(error, exception, artifacts, context.logs, context.reported, None)
        case _:
            raise exception or WorkerUnfit("the call could not be performed")


class CallFailed(Exception):
    """A call failed outside of the skill's own code: its result cannot be stored, or it ignored its time limit."""
