"""The step cache as a worker uses it: one question for all steps that become ready together.

    the base run's result -> tiers in the process and in Redis -> the cold tier -> check the artifacts

What a slower tier found is kept in the quicker ones; a result whose artifacts are gone or altered is none.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestrator.cache.answers import Answer, Entry, Granted, Hit, Question, Taken
from orchestrator.cache.cold_tier import ColdTier
from orchestrator.cache.epochs import Epochs
from orchestrator.cache.flights import Flights
from orchestrator.cache.tier import CacheTier
from orchestrator.domain.output import Output
from orchestrator.eventstore.database import Database

logger = logging.getLogger(__name__)


class EarlierResults(Protocol):
    """Where the results of earlier runs are found, whatever the cache still holds."""

    def earlier(self, wanted: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], tuple[str, Entry]]:
        """Return `(run, step) -> (input hash, result)` for those of the wanted pairs that have a result."""


class ArtifactCheck(Protocol):
    """Says whether what a result refers to is still there."""

    def fault(self, tenant: str, output: Output) -> str | None:
        """Return what is wrong with the artifacts of an output, in words, or None."""


@dataclass(frozen=True, slots=True)
class _Asker:
    """Who asks: the run, for which tenant and epoch, and the runs whose `run_only` results may serve it."""

    tenant: str
    epoch: int
    run_id: str
    serving: Sequence[str]


class StepCache:
    """Asks the tiers in order and waits for results that others are making."""

    def __init__(
        self,
        database: Database,
        cold: ColdTier,
        flights: Flights,
        epochs: Epochs,
        *,
        tiers: Sequence[CacheTier],
        earlier: EarlierResults,
        check: ArtifactCheck,
    ) -> None:
        self._database = database
        self._cold = cold
        self._flights = flights
        self._epochs = epochs
        self._tiers = tiers
        self._earlier = earlier
        self._check = check
        self._keeping: set[asyncio.Task[None]] = set()
        self.counts: Counter[str] = Counter()

    async def consult(
        self, tenant: str, run_id: str, serving: Sequence[str], questions: Sequence[Question]
    ) -> list[Answer]:
        """Answer each question, in order: a result, leave to make it, or that somebody else is making it."""
        spoiled: dict[str, str] = {}
        answers: dict[str, Answer] = {**await self._unchanged(tenant, questions, spoiled)}
        asked = [question for question in questions if question.step not in answers]
        epoch = await self._epochs.of(tenant)
        answers |= await self._quick(tenant, epoch, asked, spoiled)
        asked = [question for question in asked if question.step not in answers]
        if asked:
            answers |= await self._slow(_Asker(tenant, epoch, run_id, serving), asked, spoiled)
        for question in questions:
            self._count(question, answers[question.step])
        return [answers[question.step] for question in questions]

    async def wait(self, key: str) -> None:
        """Return when it makes sense to ask for a key again."""
        await self._flights.wait(key)

    def keep(self, tenant: str, made: Sequence[tuple[Question, Entry]]) -> None:
        """Keep results that were just made in the quick tiers, without waiting for it.

        The cold tier has them already, from the append that recorded them.
        """
        self.counts["stored"] += len(made)
        task = asyncio.create_task(self._keep(tenant, made))
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    async def close(self) -> None:
        """Wait for what is being kept."""
        await asyncio.gather(*self._keeping, return_exceptions=True)

    async def _keep(self, tenant: str, made: Sequence[tuple[Question, Entry]]) -> None:
        epoch = await self._epochs.of(tenant)
        for tier in self._tiers:
            await tier.keep(tenant, epoch, made)

    async def _unchanged(self, tenant: str, questions: Sequence[Question], spoiled: dict[str, str]) -> dict[str, Hit]:
        """Find the steps whose input is what it was when their result was made before."""
        wanted = [(question.earlier_run, question.step) for question in questions if question.earlier_run]
        if not wanted:
            return {}
        results = await self._database.ask(self._earlier.earlier, wanted)
        hits = {}
        for question in questions:
            input_hash, entry = results.get((question.earlier_run or "", question.step), (None, None))
            if entry is not None and input_hash == question.input_hash and entry.skill == question.skill:
                hits[question.step] = Hit(entry.output, entry.source_run, "base", "unchanged")
        return await self._sound(tenant, hits, questions, spoiled)

    async def _quick(
        self, tenant: str, epoch: int, questions: Sequence[Question], spoiled: dict[str, str]
    ) -> dict[str, Hit]:
        """Ask the quick tiers, and let each keep what the one behind it found."""
        shared = [question for question in questions if question.shared and question.key not in spoiled]
        hits: dict[str, Hit] = {}
        for place, tier in enumerate(self._tiers):
            if not shared:
                break
            found = await tier.find(tenant, epoch, shared)
            for question in shared:
                if (entry := found.get(question.key)) is not None:
                    hits[question.step] = Hit(entry.output, entry.source_run, tier.name)
            promoted = [(question, found[question.key]) for question in shared if question.key in found]
            for quicker in self._tiers[:place]:
                await quicker.keep(tenant, epoch, promoted)
            shared = [question for question in shared if question.key not in found]
        return await self._sound(tenant, hits, questions, spoiled)

    async def _slow(self, asker: "_Asker", questions: Sequence[Question], spoiled: dict[str, str]) -> dict[str, Answer]:
        """Ask the cold tier, which also says who is to make what is missing."""
        answers: dict[str, Answer] = {}
        asked = list(questions)
        while asked:
            found = await self._database.ask(
                self._cold.consult, asker.tenant, asker.run_id, asker.serving, asked, list(spoiled)
            )
            answers |= {question.step: answer for question, answer in zip(asked, found, strict=True)}
            hits = {step: answer for step, answer in answers.items() if isinstance(answer, Hit)}
            sound = await self._sound(asker.tenant, hits, asked, spoiled)
            asked = [question for question in asked if question.step in hits and question.step not in sound]
        promoted = [
            (question, Entry(question.skill, answer.source_run, answer.output))
            for question in questions
            if isinstance(answer := answers[question.step], Hit) and question.shared
        ]
        if promoted:
            for tier in self._tiers:
                await tier.keep(asker.tenant, asker.epoch, promoted)
            self.counts["promoted"] += len(promoted)
        for question in questions:
            if isinstance(answers[question.step], Granted) and question.key in spoiled:
                answers[question.step] = Granted(spoiled[question.key])
        return answers

    async def _sound(
        self, tenant: str, hits: dict[str, Hit], questions: Sequence[Question], spoiled: dict[str, str]
    ) -> dict[str, Hit]:
        """Keep the hits whose artifacts are all there; note why the others are not."""
        doubtful = {step: hit for step, hit in hits.items() if hit.output.artifacts or hit.output.data_ref}
        if not doubtful:
            return hits
        faults = await asyncio.to_thread(self._faults, tenant, doubtful)
        keys = {question.step: question.key for question in questions}
        for step, fault in faults.items():
            spoiled[keys[step]] = fault
            self.counts["corrupt"] += 1
            logger.warning("the result of step %s made by run %s is unusable: %s", step, hits[step].source_run, fault)
        return {step: hit for step, hit in hits.items() if step not in faults}

    def _faults(self, tenant: str, hits: Mapping[str, Hit]) -> dict[str, str]:
        checked = {step: self._check.fault(tenant, hit.output) for step, hit in hits.items()}
        return {step: fault for step, fault in checked.items() if fault is not None}

    def _count(self, question: Question, answer: Answer) -> None:
        match answer:
            case Hit():
                self.counts[f"hit_{answer.tier}"] += 1
                logger.debug("cache hit (%s) for %s", answer.tier, question.key)
            case Granted():
                self.counts["miss"] += 1
                logger.debug("cache miss for %s: %s", question.key, answer.miss)
            case Taken():
                self.counts["waited"] += 1
