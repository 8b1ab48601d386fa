"""The step cache as a worker uses it: one question for all steps that become ready together.

    the base run's result -> tiers in the process and in Redis -> the cold tier -> check the artifacts

What a slower tier found is kept in the quicker ones; a result whose artifacts are gone or altered is none.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from orchestrator.cache.answers import Answer, Entry, Granted, Hit, Question, Taken
from orchestrator.cache.cold_tier import ColdTier, Spoiled
from orchestrator.cache.counts import CacheCounts
from orchestrator.cache.epochs import Epochs
from orchestrator.cache.flights import Flights
from orchestrator.cache.tier import CacheTier
from orchestrator.domain.output import Output
from orchestrator.postgres.database import Database

logger = logging.getLogger(__name__)

_MAX_TRIES = 3
"""So many results of a key are looked at before it is made again."""


class EarlierResults(Protocol):
    """Where the results of earlier runs are found, whatever the cache still holds."""

    def earlier(self, tenant: str, wanted: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], tuple[str, Entry]]:
        """Return `(run, step) -> (input hash, result)` for those of the wanted pairs that have a result."""


class ArtifactCheck(Protocol):
    """Says whether what a result refers to is still there."""

    def fault(self, tenant: str, output: Output) -> str | None:
        """Return what is wrong with the artifacts of an output, in words, or None."""


class _Spoiled:
    """Results that turned out to be unusable, and why, by key."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}
        self._makers: dict[str, list[str]] = {}

    def add(self, key: str, maker: str, fault: str) -> None:
        """Note a result that a run made."""
        self.reasons[key] = f"the result of run {maker} is unusable: {fault}"
        self._makers.setdefault(key, []).append(maker)

    def results(self) -> list[Spoiled]:
        """Return the results; all of a key when several in a row were unusable."""
        return [
            (key, maker)
            for key, makers in self._makers.items()
            for maker in (makers if len(makers) < _MAX_TRIES else [None])
        ]


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
        counts: CacheCounts,
    ) -> None:
        self._database = database
        self._cold = cold
        self._flights = flights
        self._epochs = epochs
        self._tiers = tiers
        self._earlier = earlier
        self._check = check
        self._keeping: set[asyncio.Task[None]] = set()
        self.counts = counts

    async def consult(
        self, tenant: str, run_id: str, serving: Sequence[str], questions: Sequence[Question]
    ) -> list[Answer]:
        """Answer each question, in order: a result, leave to make it, or that somebody else is making it.

        Args:
            tenant: whose results.
            run_id: the run that asks.
            serving: the runs whose `run_only` results may serve it.
            questions: about distinct steps.
        """
        spoiled = _Spoiled()
        answers: dict[str, Answer] = {**await self._unchanged(tenant, questions, spoiled)}
        asked = _unanswered(questions, answers)
        if asked:
            epoch = await self._epochs.of(tenant)
            answers |= await self._quick(tenant, epoch, asked, spoiled)
            asked = _unanswered(asked, answers)
            if asked:
                slow = await self._slow(tenant, run_id, serving, asked, spoiled)
                self._promote(tenant, epoch, asked, slow)
                answers |= slow
        self._count(run_id, questions, answers)
        return [answers[question.step] for question in questions]

    async def wait(self, key: str) -> None:
        """Return when it makes sense to ask for a key again."""
        await self._flights.wait(key)

    def epoch(self, tenant: str) -> int | None:
        """Return the epoch to `keep` results under. Ask before they are recorded, not after.

        Then an invalidation that comes in between ends the epoch, and with it what is kept under it.
        """
        return self._epochs.known(tenant)

    def keep(self, tenant: str, epoch: int | None, made: Sequence[tuple[Question, Entry]]) -> None:
        """Keep results that were just recorded in the quick tiers, without waiting for it.

        The cold tier has them already, from the append that recorded them.
        """
        self.counts.stored += len(made)
        _tell("stored in the cache", made)
        if epoch is not None:
            self._keep(tenant, epoch, made)

    async def close(self) -> None:
        """Wait for what is being kept."""
        await asyncio.gather(*self._keeping, return_exceptions=True)

    def _keep(self, tenant: str, epoch: int, entries: Sequence[tuple[Question, Entry]]) -> None:
        for tier in self._tiers:
            task = asyncio.create_task(tier.keep(tenant, epoch, entries))
            self._keeping.add(task)
            task.add_done_callback(self._keeping.discard)

    async def _unchanged(self, tenant: str, questions: Sequence[Question], spoiled: _Spoiled) -> dict[str, Hit]:
        """Find the steps whose input is what it was when their result was made before."""
        wanted = [(question.earlier_run, question.step) for question in questions if question.earlier_run]
        if not wanted:
            return {}
        results = await self._database.ask(self._earlier.earlier, tenant, wanted)
        hits = {}
        for question in questions:
            input_hash, entry = results.get((question.earlier_run or "", question.step), (None, None))
            if entry is not None and input_hash == question.input_hash and entry.skill == question.skill:
                hits[question.step] = Hit(entry.output, entry.source_run, "base", "unchanged")
        return await self._sound(tenant, hits, questions, spoiled)

    async def _quick(self, tenant: str, epoch: int, questions: Sequence[Question], spoiled: _Spoiled) -> dict[str, Hit]:
        """Ask the quick tiers, and let each keep what the one behind it found."""
        shared = [question for question in questions if question.shared and question.key not in spoiled.reasons]
        hits: dict[str, Hit] = {}
        for place, tier in enumerate(self._tiers):
            if not shared:
                break
            found = await tier.find(tenant, epoch, shared)
            promoted = [(question, found[question.key]) for question in shared if question.key in found]
            hits |= {question.step: Hit(entry.output, entry.source_run, tier.name) for question, entry in promoted}
            for quicker in self._tiers[:place] if promoted else ():
                await quicker.keep(tenant, epoch, promoted)
                self.counts.promoted += len(promoted)
                _tell("promoted in the cache", promoted)
            shared = [question for question in shared if question.key not in found]
        return await self._sound(tenant, hits, questions, spoiled)

    async def _slow(
        self,
        tenant: str,
        run_id: str,
        serving: Sequence[str],
        questions: Sequence[Question],
        spoiled: _Spoiled,
    ) -> dict[str, Answer]:
        """Ask the cold tier, which also says who is to make what is missing."""
        answers: dict[str, Answer] = {}
        asked = questions
        while asked:
            found = await self._cold.ask(tenant, run_id, serving, asked, spoiled.results())
            answers |= {question.step: answer for question, answer in zip(asked, found, strict=True)}
            hits = {question.step: answer for question in asked if isinstance(answer := answers[question.step], Hit)}
            sound = await self._sound(tenant, hits, asked, spoiled)
            asked = [question for question in asked if question.step in hits and question.step not in sound]
        for question in questions:
            if question.key in spoiled.reasons and isinstance(answers[question.step], Granted):
                answers[question.step] = Granted(spoiled.reasons[question.key])
        return answers

    def _promote(self, tenant: str, epoch: int, questions: Sequence[Question], answers: Mapping[str, Answer]) -> None:
        """Let the quick tiers keep what the cold one found, without waiting for it."""
        promoted = [
            (question, Entry(question.skill, answer.source_run, answer.output))
            for question in questions
            if question.shared and isinstance(answer := answers[question.step], Hit)
        ]
        if promoted:
            self._keep(tenant, epoch, promoted)
            self.counts.promoted += len(promoted)
            _tell("promoted in the cache", promoted)

    async def _sound(
        self, tenant: str, hits: dict[str, Hit], questions: Sequence[Question], spoiled: _Spoiled
    ) -> dict[str, Hit]:
        """Keep the hits whose artifacts are all there; note why the others are not."""
        doubtful = {step: hit for step, hit in hits.items() if hit.output.artifacts or hit.output.data_ref}
        if not doubtful:
            return hits
        faults = await asyncio.to_thread(self._faults, tenant, doubtful)
        if not faults:
            return hits
        self.counts.corrupt += len(faults)
        keys = {question.step: question.key for question in questions}
        for step, fault in faults.items():
            hit = hits[step]
            spoiled.add(keys[step], hit.source_run, fault)
            logger.warning(
                "cached result unusable",
                extra={"step_id": step, "cache_key": keys[step], "source_run": hit.source_run, "reason": fault},
            )
        return {step: hit for step, hit in hits.items() if step not in faults}

    def _faults(self, tenant: str, hits: Mapping[str, Hit]) -> dict[str, str]:
        checked = {step: self._check.fault(tenant, hit.output) for step, hit in hits.items()}
        return {step: fault for step, fault in checked.items() if fault is not None}

    def _count(self, run_id: str, questions: Sequence[Question], answers: Mapping[str, Answer]) -> None:
        counts = self.counts
        for answer in answers.values():
            match answer:
                case Hit():
                    counts.hits[answer.tier] += 1
                case Granted():
                    counts.misses += 1
                case Taken():
                    counts.waited += 1
        if logger.isEnabledFor(logging.DEBUG):
            for question in questions:
                message, facts = _told(answers[question.step])
                place = {"run_id": run_id, "step_id": question.step, "cache_key": question.key}
                logger.debug(message, extra=place | facts)


def _unanswered(questions: Sequence[Question], answers: Mapping[str, Answer]) -> list[Question]:
    return [question for question in questions if question.step not in answers]


def _tell(message: str, entries: Sequence[tuple[Question, Entry]]) -> None:
    if logger.isEnabledFor(logging.DEBUG):
        for question, entry in entries:
            place = {"step_id": question.step, "cache_key": question.key, "source_run": entry.source_run}
            logger.debug(message, extra=place)


def _told(answer: Answer) -> tuple[str, dict[str, Any]]:
    match answer:
        case Hit():
            return "found in the cache", {"tier": answer.tier, "source_run": answer.source_run}
        case Granted():
            return "not in the cache", {"reason": answer.miss}
        case Taken():
            return "waiting for another run to make it", {}
