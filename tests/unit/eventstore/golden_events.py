"""The events of `tests/golden/events-v1.jsonl`, in its order: each with every field filled, then with the fewest."""

from orchestrator.domain.events import (
    Event,
    Reuse,
    RunBlocked,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunRecovered,
    RunStarted,
    RunTriggered,
    StepCacheHit,
    StepCacheInvalidated,
    StepCompleted,
    StepFailed,
    StepOmitted,
    StepRetried,
    StepStarted,
    WorkflowRegistered,
    WorkflowRestored,
    WorkflowRetired,
)
from orchestrator.domain.output import Artifact, Output, StepError

AT = 1_735_689_600_123
RUN = "018f3a5c-0000-7000-8000-00000000000a"
BASE = "018f3a5c-0000-7000-8000-00000000000b"
OLDER = "018f3a5c-0000-7000-8000-00000000000c"
WORKER = "host-1:4711:0a1b2c3d4e5f"
HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

PICTURE = Artifact(
    id="5f0c8a52-7d59-5b3c-9a0e-0c6a1f6f2b11",
    type="image/png",
    uri=f"artifact://sha256/{HASH}",
    content_hash=HASH,
    size_bytes=48_213,
    filename="intro – Übersicht.png",  # noqa: RUF001 - any name a file can have
    metadata={"width": 640, "height": 360, "palette": ["#fff", "#000"]},
)
LINK = Artifact("0d8f7a1e-93b2-5a0b-8e55-2f3b1c9d7e42", "text/html", "https://example.com/a", "", -1)
OUTPUT = Output({"title": "Größe \u2028 \U0001f3b5", "n": 1.5, "list": [None, True]}, (PICTURE, LINK), PICTURE)
ERROR = StepError("SKILL_TIMEOUT", "took longer than 500 ms", {"limitMs": 500, "tries": [1, 2]}, True, 1500)

FULL_AND_MINIMAL: list[tuple[Event, Event]] = [
    (
        RunTriggered(
            at=AT,
            workflow_name="campaign.build.v1",
            workflow_version="1.0.0",
            workflow_digest=HASH,
            trigger_type="update",
            payload={"brief": {"style": "lo-fi", "tempo": 92.5}},
            base_run_id=BASE,
            change={"type": "audio.update", "payload": {"brief": {"style": "jazz"}}},
            impacted=("generate_bgm_track", "mix_audio_for_game"),
            reused=(Reuse(OLDER, ("campaign_plan_from_brief",)), Reuse(BASE, None)),
            forced=("generate_bgm_track",),
            priority=5,
            labels={"team": "rot", "äöü": "ß"},
            request=HASH,
            trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
        RunTriggered(AT, "campaign.build.v1", "1.0.0", HASH, "initial", {}),
    ),
    (RunStarted(AT, WORKER), RunStarted(0, "w")),
    (RunRecovered(AT, WORKER, "host-2:4712:ffffffffffff"), RunRecovered(AT, WORKER, None)),
    (RunBlocked(AT, ("audio.generate_bgm", "video.generate_loop")), RunBlocked(AT, ())),
    (
        StepStarted(AT, "generate_bgm_track", 2, "audio.generate_bgm@2", HASH, f"campaign:bgm:{HASH}", "no result"),
        StepStarted(AT, "s", 1, "k@1", HASH, f"w:s:{HASH}"),
    ),
    (
        StepCacheHit(AT, "generate_bgm_track", HASH, f"campaign:bgm:{HASH}", OUTPUT, BASE, "unchanged"),
        StepCacheHit(AT, "s", HASH, f"w:s:{HASH}", Output(), BASE, "cache"),
    ),
    (
        StepCompleted(AT, "generate_bgm_track", 2, OUTPUT, HASH, 1234.5678),
        StepCompleted(AT, "s", 1, Output(), HASH, 0.0),
    ),
    (
        StepFailed(AT, "generate_bgm_track", 1, ERROR, 500.25),
        StepFailed(AT, "s", 1, StepError("SKILL_EXECUTION_FAILED", ""), 0.0),
    ),
    (StepRetried(AT, "generate_bgm_track", 2, AT + 3000), StepRetried(AT, "s", 2, AT)),
    (RunCompleted(AT, 12, 1), RunCompleted(AT, 0, 0)),
    (RunFailed(AT, ERROR, "generate_bgm_track"), RunFailed(AT, StepError("RUN_FAILED", "why"), None)),
    (RunCancelled(AT, "the client withdrew", "ann@example.com"), RunCancelled(AT, None, "ann")),
    (
        WorkflowRegistered(
            AT,
            "campaign.build.v1",
            "1.0.0",
            HASH,
            {"workflowName": "campaign.build.v1", "version": "1.0.0", "steps": [{"stepId": "a", "skillId": "b"}]},
        ),
        WorkflowRegistered(AT, "w", "1", HASH, {}),
    ),
    (
        StepCacheInvalidated(AT, "pruned by age", (f"w:s:{HASH}",), "campaign.build.v1", "generate_bgm_track"),
        StepCacheInvalidated(AT, "asked for"),
    ),
    (WorkflowRetired(AT, "campaign.build.v1", ("1.0.0", "1.1.0"), "use v2"), WorkflowRetired(AT, "w", ("1",))),
    (WorkflowRestored(AT, "campaign.build.v1", ("1.0.0", "1.1.0")), WorkflowRestored(AT, "w", ("1",))),
    (
        RunTriggered(
            at=AT,
            workflow_name="campaign.build.v1",
            workflow_version="1.0.0",
            workflow_digest=HASH,
            trigger_type="update",
            payload={"brief": {"banners": False}},
            base_run_id=BASE,
            change={"type": "audio.update", "payload": {"brief": {"style": "jazz"}}},
            impacted=("generate_bgm_track",),
            reused=(Reuse(BASE, None),),
            forced=("generate_bgm_track",),
            priority=5,
            labels={"team": "red"},
            request=HASH,
            trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            omitted=("render_banner", "translate_banner"),
        ),
        RunTriggered(AT, "campaign.build.v1", "1.0.0", HASH, "initial", {}),
    ),
    (
        StepFailed(AT, "generate_bgm_track", 1, ERROR, 500.25, True),
        StepFailed(AT, "s", 1, StepError("SKILL_EXECUTION_FAILED", ""), 0.0),
    ),
    (StepOmitted(AT, "translate_banner", "render_banner"), StepOmitted(AT, "s")),
    (RunCompleted(AT, 10, 1, 1, 1), RunCompleted(AT, 0, 0)),
]
