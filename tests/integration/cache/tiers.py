"""Every tier in one shape, so that one suite can be run against all of them."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from uuid_utils import uuid7

from orchestrator.application.core import Core
from orchestrator.cache.answers import Entry, Hit, Question
from orchestrator.cache.cold_tier import ColdTier
from orchestrator.cache.tier import CacheTier
from orchestrator.domain.commands import CompleteStep, StartStep, TakeRun, TriggerRun
from orchestrator.domain.decide import decide, decide_trigger
from orchestrator.domain.evolve import begin, evolve
from orchestrator.domain.output import Output
from orchestrator.workflows import define, step

WORKFLOW = define("test.tiers", "1", [step("make", "test.make")])


def question(key: str, skill: str = "test.make@1", ttl_seconds: int | None = None) -> Question:
    return Question("make", key, "input", skill, ttl_seconds=ttl_seconds)


class Shelf(Protocol):
    """A tier with its epochs: what the suite puts in and asks for."""

    async def put(self, tenant: str, entries: Mapping[Question, Output]) -> dict[str, str]:
        """Keep results and return, by key, the run that made each."""
        ...

    async def find(self, tenant: str, questions: Sequence[Question]) -> Mapping[str, Entry]: ...

    async def invalidate(self, tenant: str) -> None: ...


class QuickShelf:
    """A tier in front of the cold one."""

    def __init__(self, tier: CacheTier) -> None:
        self._tier = tier
        self._epoch = 7

    async def put(self, tenant: str, entries: Mapping[Question, Output]) -> dict[str, str]:
        made = [(asked, Entry(asked.skill, str(uuid7()), output)) for asked, output in entries.items()]
        await self._tier.keep(tenant, self._epoch, made)
        return {asked.key: entry.source_run for asked, entry in made}

    async def find(self, tenant: str, questions: Sequence[Question]) -> Mapping[str, Entry]:
        return await self._tier.find(tenant, self._epoch, questions)

    async def invalidate(self, tenant: str) -> None:
        self._epoch += 1


class ColdShelf:
    """The cold tier: results come in through the log and nowhere else."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._tier = ColdTier(core.database, "test")
        self._registered: set[str] = set()

    async def put(self, tenant: str, entries: Mapping[Question, Output]) -> dict[str, str]:
        if tenant not in self._registered:
            await self._core.workflows.register(WORKFLOW, tenant=tenant, actor="test")
            self._registered.add(tenant)
        made = await asyncio.gather(*(self._make(tenant, asked, output) for asked, output in entries.items()))
        return {asked.key: run_id for asked, run_id in zip(entries, made, strict=True)}

    async def _make(self, tenant: str, asked: Question, output: Output) -> str:
        at = len(self._registered) + self._core.log.last_position()  # later results are newer
        first = decide_trigger(TriggerRun(at, "initial", {}), WORKFLOW)
        run = begin(str(uuid7()), WORKFLOW, first)
        events = [first]
        for command in (
            TakeRun(at, "test"),
            StartStep(at, "make", 1, asked.skill, asked.input_hash, asked.key),
            CompleteStep(at, "make", 1, output, "hash", 1.0),
        ):
            for event in decide(command, run):
                evolve(run, event)
                events.append(event)  # type: ignore[arg-type]
        await self._core.runs.save(run, events, tenant=tenant, actor="test")
        return run.id

    async def find(self, tenant: str, questions: Sequence[Question]) -> Mapping[str, Entry]:
        asker = str(uuid7())
        answers = await self._core.database.call(self._tier.consult, tenant, asker, [asker], questions)
        return {
            asked.key: Entry(asked.skill, answer.source_run, answer.output)
            for asked, answer in zip(questions, answers, strict=True)
            if isinstance(answer, Hit)
        }

    async def invalidate(self, tenant: str) -> None:
        await self._core.cache.invalidate(tenant, "test", workflow=WORKFLOW.name)
