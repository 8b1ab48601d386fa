"""Events become figures in one place, with labels that take few values."""

from collections.abc import Mapping

from orchestrator.cache.counts import CacheCounts
from orchestrator.domain.events import (
    Event,
    RunBlocked,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunRecovered,
    RunStarted,
    RunTriggered,
    StepCacheHit,
    StepCompleted,
    StepFailed,
    StepRetried,
    StepStarted,
)
from orchestrator.domain.evolve import begin, evolve
from orchestrator.domain.output import Output, StepError
from orchestrator.domain.workflow import Step, Workflow
from orchestrator.eventstore.recorded import Recorded
from orchestrator.telemetry.metrics import Metrics

RUN = "0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d"
WORKFLOW = Workflow("w.v1", "1", {"a": Step("a", "s"), "b": Step("b", "s")})
TRIGGERED = RunTriggered(1000, "w.v1", "1", "digest", "initial", {})
ERROR = StepError("TOO_LOUD", "turn it down")


def figures(metrics: Metrics) -> Mapping[str, float]:
    """Return the figures by `name{label="value"}`, as Prometheus reads them."""
    return {
        sample.name + (str(sample.labels) if sample.labels else ""): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
    }


def told(metrics: Metrics, *events: Event) -> Mapping[str, float]:
    """Tell of the events of a run and return the figures."""
    assert isinstance(events[0], RunTriggered)
    run = begin(RUN, WORKFLOW, events[0])
    for event in events[1:]:
        evolve(run, event)  # type: ignore[arg-type]
    metrics.tell([Recorded(RUN, n, n, "acme", "w", event) for n, event in enumerate(events, 1)], {RUN: run})
    return figures(metrics)


def test_a_run_and_its_steps_are_counted_by_outcome_and_duration() -> None:
    found = told(
        Metrics(CacheCounts()),
        TRIGGERED,
        RunStarted(1500, "w"),
        StepStarted(1500, "a", 1, "s@1", "h", "k"),
        StepFailed(1600, "a", 1, ERROR, 100.0),
        StepRetried(1600, "a", 2, 1700),
        StepStarted(1700, "a", 2, "s@1", "h", "k"),
        StepCompleted(1730, "a", 2, Output(), "hash", 30.0),
        StepCacheHit(1740, "b", "h", "k", Output(), RUN, "cache"),
        RunCompleted(4000, 1, 1),
    )
    assert found["orchestrator_runs_triggered_total{'trigger': 'initial'}"] == 1
    assert found["orchestrator_runs_total{'outcome': 'completed'}"] == 1
    assert found["orchestrator_run_wait_seconds_sum"] == 0.5
    assert found["orchestrator_run_duration_seconds_sum{'outcome': 'completed'}"] == 2.5
    assert found["orchestrator_step_attempts_started_total"] == 2
    steps = {outcome: found[f"orchestrator_steps_total{{'outcome': '{outcome}'}}"] for outcome in (
        "completed", "failed", "retried", "skipped")}  # fmt: skip
    assert steps == {"completed": 1, "failed": 1, "retried": 1, "skipped": 1}
    assert found["orchestrator_step_duration_seconds_sum{'outcome': 'completed'}"] == 0.03
    assert found["orchestrator_step_duration_seconds_sum{'outcome': 'failed'}"] == 0.1


def test_the_other_ends_and_turns_of_a_run() -> None:
    metrics = Metrics(CacheCounts())
    told(metrics, TRIGGERED, RunStarted(1001, "w"), RunRecovered(1002, "v", "w"), RunBlocked(1003, ("s",)))
    told(metrics, TRIGGERED, RunStarted(1001, "w"), RunFailed(1005, ERROR, "a"))
    found = told(metrics, TRIGGERED, RunCancelled(1005, "why", "me"))
    assert found["orchestrator_run_interruptions_total{'kind': 'recovered'}"] == 1
    assert found["orchestrator_run_interruptions_total{'kind': 'blocked'}"] == 1
    assert found["orchestrator_runs_total{'outcome': 'failed'}"] == 1
    assert found["orchestrator_runs_total{'outcome': 'cancelled'}"] == 1
    assert "orchestrator_run_duration_seconds_sum{'outcome': 'cancelled'}" not in found, "it had not started"


def test_the_cache_is_counted_by_tier() -> None:
    counts = CacheCounts()
    metrics = Metrics(counts)
    assert figures(metrics)["orchestrator_cache_hits_total{'tier': 'hot'}"] == 0
    counts.hits["hot"] += 3
    for name in ("misses", "waited", "stored", "promoted", "invalidated", "corrupt"):
        setattr(counts, name, 2)
    found = figures(metrics)
    assert found["orchestrator_cache_hits_total{'tier': 'hot'}"] == 3
    assert [found[f"orchestrator_cache_{name}_total"] for name in ("misses", "waited", "stored", "promoted")] == [2] * 4
    assert [found[f"orchestrator_cache_{name}_total"] for name in ("invalidated", "corrupt")] == [2] * 2


def test_batches_and_requests_are_measured() -> None:
    metrics = Metrics(CacheCounts())
    metrics.committed(7, 0.002)
    metrics.committed(30, 0.004)
    for status in (200, 200, 404):
        metrics.answered("GET", "/api/v1/runs/{runId}", status, 0.003)
    found = figures(metrics)
    assert found["orchestrator_commit_batch_events_sum"] == 37
    assert found["orchestrator_commit_batch_events_bucket{'le': '10.0'}"] == 1
    assert found["orchestrator_commit_duration_seconds_count"] == 2
    labels = "{'method': 'GET', 'route': '/api/v1/runs/{runId}', 'status': '200'}"
    assert found[f"orchestrator_http_requests_total{labels}"] == 2
    assert (
        found["orchestrator_http_request_duration_seconds_count{'method': 'GET', 'route': '/api/v1/runs/{runId}'}"] == 3
    )


def test_what_users_choose_is_no_label() -> None:
    found = told(Metrics(CacheCounts()), TRIGGERED, RunStarted(1500, "w"), RunCompleted(4000, 1, 1))
    assert not [name for name in found if "w.v1" in name or "acme" in name]
