import orjson

from orchestrator.domain.events import Reuse, RunFailed, RunTriggered, StepCompleted, StepRetried
from orchestrator.domain.output import Artifact, Output, StepError
from orchestrator.eventstore.recorded import Recorded
from orchestrator.projections.views.event_views import event_view

RUN = "0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d"


def test_the_envelope_and_the_fields() -> None:
    event = RunTriggered(
        1500, "w.v1", "1", "digest", "update", {"my_key": {"a_b": 1}}, reused=(Reuse(RUN, ("a",)),), impacted=("b",)
    )
    view = event_view(Recorded(RUN, 1, 7, "acme", "me", event))
    assert {name: view[name] for name in ("type", "version", "position", "at", "actor")} == {
        "type": "RunTriggered",
        "version": 1,
        "position": 7,
        "at": "1970-01-01T00:00:01.500Z",
        "actor": "me",
    }
    assert view["data"]["workflowName"] == "w.v1"
    assert view["data"]["payload"] == {"my_key": {"a_b": 1}}, "what users wrote keeps its names"
    assert view["data"]["reused"] == [{"runId": RUN, "steps": ["a"]}]
    assert view["data"]["impacted"] == ["b"]
    assert "at" not in view["data"]
    orjson.dumps(view)


def test_outputs_errors_and_times_inside() -> None:
    output = Output({"some_data": 1}, (Artifact("id", "text/plain", "file:///x", "hash", 3, "x.txt"),))
    completed = event_view(Recorded(RUN, 2, 8, "acme", "w", StepCompleted(0, "a", 1, output, "hash", 2.5)))["data"]
    assert completed["output"]["data"] == {"some_data": 1}
    assert completed["output"]["artifacts"][0]["contentHash"] == "hash"
    assert completed["durationMs"] == 2.5
    failed = event_view(Recorded(RUN, 2, 8, "acme", "w", RunFailed(0, StepError("C", "m", retry_after_ms=5), "a")))
    assert failed["data"]["error"]["retryAfterMs"] == 5
    assert failed["data"]["failedStep"] == "a"
    retried = event_view(Recorded(RUN, 2, 8, "acme", "w", StepRetried(0, "a", 2, 1500)))
    assert retried["data"]["dueAt"] == "1970-01-01T00:00:01.500Z"
