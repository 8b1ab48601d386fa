"""The step cache of a worker: one lookup for all steps that become ready together.

    the earlier run's result -> memory and Redis tiers -> cold tier -> check the artifacts

Results found in a slower tier are copied to the faster ones. A result with missing or altered artifacts is a miss, and
so is one older than the step's `ttlSeconds`, unless it is the earlier run's.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
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
"""How many unusable results of a key are tried before the step is executed again."""


class EarlierResults(Protocol):
    """Finds the results of earlier runs, independently of the cache."""

    def earlier(self, tenant: str, wanted: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], tuple[str, Entry]]:
        """Return `(run, step) -> (input hash, result)` for those of the wanted pairs that have a result."""


class ArtifactCheck(Protocol):
    """Checks whether the artifacts of a result still exist."""

    def fault(self, tenant: str, output: Output) -> str | None:
        """Return a description of what is wrong with the artifacts of an output, or None."""


class _Spoiled:
    """Unusable results and the reasons, by key."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}
        self._makers: dict[str, list[str]] = {}

    def add(self, key: str, maker: str, fault: str) -> None:
        """Record an unusable result, with the run that produced it."""
        self.reasons[key] = f"the result of run {maker} is unusable: {fault}"
        self._makers.setdefault(key, []).append(maker)

    def results(self) -> list[Spoiled]:
        """Return the unusable results; after `_MAX_TRIES` of a key, all results of that key."""
        return [
            (key, maker)
            for key, makers in self._makers.items()
            for maker in (makers if len(makers) < _MAX_TRIES else [None])
        ]


def _now() -> int:
    """Return the time in milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


class StepCache:
    """Queries the tiers in order, and waits for results that other runs are producing."""

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
        clock: Callable[[], int] = _now,
    ) -> None:
        self._database = database
        self._cold = cold
        self._flights = flights
        self._epochs = epochs
        self._tiers = tiers
        self._earlier = earlier
        self._check = check
        self._clock = clock
        self._writes: set[asyncio.Task[None]] = set()
        self.counts = counts

    async def consult(
        self, tenant: str, run_id: str, serving: Sequence[str], questions: Sequence[Question]
    ) -> list[Answer]:
        """Answer each question, in order: with a result, a grant to produce it, or that another run is producing it.

        Args:
            tenant: tenant of the results.
            run_id: the run that asks.
            serving: the runs whose `run_only` results it may use.
            questions: questions about distinct steps.
        """
        spoiled = _Spoiled()
        answers: dict[str, Answer] = {**await self._unchanged_results(tenant, questions, spoiled)}
        asked = _unanswered(questions, answers)
        if asked:
            epoch = await self._epochs.of(tenant)
            answers |= await self._ask_fast_tiers(tenant, epoch, asked, spoiled)
            asked = _unanswered(asked, answers)
            if asked:
                slow = await self._ask_cold_tier(tenant, run_id, serving, asked, spoiled)
                self._promote(tenant, epoch, asked, slow)
                answers |= slow
        self._count(run_id, questions, answers)
        return [answers[question.step] for question in questions]

    async def wait(self, key: str) -> None:
        """Return when it is time to look up a key again."""
        await self._flights.wait(key)

    def epoch(self, tenant: str) -> int | None:
        """Return the epoch to pass to `keep`. Call this before the results are recorded, not after.

        Then an invalidation in between ends that epoch, and with it the results stored under it.
        """
        return self._epochs.known(tenant)

    def keep(self, tenant: str, epoch: int | None, made: Sequence[tuple[Question, Entry]]) -> None:
        """Store results that were just recorded in the fast tiers, without waiting for completion.

        The cold tier already has them: the append that recorded them also stored them there.
        """
        self.counts.stored += len(made)
        _log_entries("stored in the cache", made)
        if epoch is not None:
            self._keep(tenant, epoch, made)

    async def close(self) -> None:
        """Wait for pending writes to the fast tiers."""
        await asyncio.gather(*self._writes, return_exceptions=True)

    def _keep(self, tenant: str, epoch: int, entries: Sequence[tuple[Question, Entry]]) -> None:
        for tier in self._tiers:
            task = asyncio.create_task(tier.keep(tenant, epoch, entries))
            self._writes.add(task)
            task.add_done_callback(self._writes.discard)

    async def _unchanged_results(self, tenant: str, questions: Sequence[Question], spoiled: _Spoiled) -> dict[str, Hit]:
        """Find the steps whose input is the same as in the earlier run that produced their result."""
        wanted = [(question.earlier_run, question.step) for question in questions if question.earlier_run]
        if not wanted:
            return {}
        results = await self._database.ask(self._earlier.earlier, tenant, wanted)
        hits = {}
        for question in questions:
            input_hash, entry = results.get((question.earlier_run or "", question.step), (None, None))
            if entry is not None and input_hash == question.input_hash and entry.skill == question.skill:
                hits[question.step] = Hit(entry.output, entry.source_run, "base", "unchanged")
        return await self._intact(tenant, hits, questions, spoiled)

    async def _ask_fast_tiers(
        self, tenant: str, epoch: int, questions: Sequence[Question], spoiled: _Spoiled
    ) -> dict[str, Hit]:
        """Query the fast tiers, and copy the results of each tier to the faster ones."""
        shared = [question for question in questions if question.shared and question.key not in spoiled.reasons]
        hits: dict[str, Hit] = {}
        for place, tier in enumerate(self._tiers):
            if not shared:
                break
            now = self._clock()
            entries = await tier.find(tenant, epoch, shared)
            found = {
                question.key: entry
                for question in shared
                if (entry := entries.get(question.key)) is not None and question.allows(entry.stored_at, now)
            }
            promoted = [(question, found[question.key]) for question in shared if question.key in found]
            hits |= {
                question.step: Hit(entry.output, entry.source_run, tier.name, stored_at=entry.stored_at)
                for question, entry in promoted
            }
            for quicker in self._tiers[:place] if promoted else ():
                await quicker.keep(tenant, epoch, promoted)
                self.counts.promoted += len(promoted)
                _log_entries("promoted in the cache", promoted)
            shared = [question for question in shared if question.key not in found]
        return await self._intact(tenant, hits, questions, spoiled)

    async def _ask_cold_tier(
        self,
        tenant: str,
        run_id: str,
        serving: Sequence[str],
        questions: Sequence[Question],
        spoiled: _Spoiled,
    ) -> dict[str, Answer]:
        """Query the cold tier, which also grants or denies the production of missing results."""
        answers: dict[str, Answer] = {}
        asked = questions
        while asked:
            found = await self._cold.ask(tenant, run_id, serving, asked, spoiled.results())
            answers |= {question.step: answer for question, answer in zip(asked, found, strict=True)}
            hits = {question.step: answer for question in asked if isinstance(answer := answers[question.step], Hit)}
            sound = await self._intact(tenant, self._recent(hits, asked, spoiled), asked, spoiled)
            asked = [question for question in asked if question.step in hits and question.step not in sound]
        for question in questions:
            if question.key in spoiled.reasons and isinstance(answers[question.step], Granted):
                answers[question.step] = Granted(spoiled.reasons[question.key])
        return answers

    def _promote(self, tenant: str, epoch: int, questions: Sequence[Question], answers: Mapping[str, Answer]) -> None:
        """Copy the results of the cold tier to the fast tiers, without waiting for completion."""
        promoted = [
            (question, Entry(question.skill, answer.source_run, answer.output, answer.stored_at))
            for question in questions
            if question.shared and isinstance(answer := answers[question.step], Hit)
        ]
        if promoted:
            self._keep(tenant, epoch, promoted)
            self.counts.promoted += len(promoted)
            _log_entries("promoted in the cache", promoted)

    def _recent(self, hits: dict[str, Hit], questions: Sequence[Question], spoiled: _Spoiled) -> dict[str, Hit]:
        """Return the hits that are not too old for their step, and record which others are."""
        now, recent = self._clock(), dict(hits)
        for question in questions:
            hit = hits.get(question.step)
            if hit is not None and not question.allows(hit.stored_at, now):
                del recent[question.step]
                spoiled.add(
                    question.key, hit.source_run, f"it is older than the step's ttlSeconds ({question.ttl_seconds})"
                )
        return recent

    async def _intact(
        self, tenant: str, hits: dict[str, Hit], questions: Sequence[Question], spoiled: _Spoiled
    ) -> dict[str, Hit]:
        """Return the hits whose artifacts are intact, and record why the others are unusable."""
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
                message, facts = _described(answers[question.step])
                place = {"run_id": run_id, "step_id": question.step, "cache_key": question.key}
                logger.debug(message, extra=place | facts)


def _unanswered(questions: Sequence[Question], answers: Mapping[str, Answer]) -> list[Question]:
    return [question for question in questions if question.step not in answers]


def _log_entries(message: str, entries: Sequence[tuple[Question, Entry]]) -> None:
    if logger.isEnabledFor(logging.DEBUG):
        for question, entry in entries:
            place = {"step_id": question.step, "cache_key": question.key, "source_run": entry.source_run}
            logger.debug(message, extra=place)


def _described(answer: Answer) -> tuple[str, dict[str, Any]]:
    match answer:
        case Hit():
            return "found in the cache", {"tier": answer.tier, "source_run": answer.source_run}
        case Granted():
            return "not in the cache", {"reason": answer.miss}
        case Taken():
            return "waiting for the result of another run", {}
