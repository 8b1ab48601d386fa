"""The workflows of the soak, and what a run of each must come to."""

from collections.abc import Sequence
from typing import Any

from benchmarks.graphs import campaign_graph

TENANTS = ("default", "acme", "umbrella")

CAMPAIGN, SMALL, THREADS = "soak.campaign", "soak.small", "soak.threads"
GOOD = (CAMPAIGN, SMALL, THREADS)
"""These complete, unless they are cancelled."""

BLOCK, RUDE, LEAVE, STUBBORN, STALL, CRASH = (
    f"soak.{name}" for name in ("block", "rude", "leave", "stubborn", "stall", "crash")
)
HOPELESS = (RUDE, LEAVE)
"""These fail."""

UNSTOPPABLE = ("block", "stubborn", "stall", "one", "two")
"""Steps that go on executing though their worker wants to stop them, as when its lease is about to end.

The last two run in threads, which nobody can stop.
"""

_RETRY = {"maxAttempts": 5, "backoffMs": 100, "multiplier": 1}


def documents() -> list[dict[str, Any]]:
    """Return every workflow of the soak."""
    campaign = campaign_graph("soak.work", name=CAMPAIGN, version="1", cached=True)
    small = _graph(SMALL, "soak.work", {"a": (), "b": ("a",), "c": ("a",)}, cached=False)
    threads = _graph(THREADS, "soak.thread", {"one": (), "two": ("one",)}, cached=True)
    single = [
        _graph(name, name, {name.removeprefix("soak."): ()}, cached=False)
        for name in (BLOCK, RUDE, LEAVE, STUBBORN, STALL, CRASH)
    ]
    return [campaign, small, threads, *single]


def _graph(name: str, skill: str, edges: dict[str, Sequence[str]], *, cached: bool) -> dict[str, Any]:
    steps = [
        {
            "stepId": step,
            "skillId": skill,
            "dependsOn": list(needed),
            "input": {
                "seed": "trigger.seed",
                "seconds": "trigger.seconds",
                "upstream": f"[{', '.join(f'steps.{other}.data' for other in needed)}]" if needed else "`[]`",
            },
            "cachePolicy": {"enabled": cached, "scope": "global"},
            "retryPolicy": _RETRY,
        }
        for step, needed in edges.items()
    ]
    return {
        "workflowName": name,
        "version": "1",
        "steps": steps,
        "changeTypes": {"full_rebuild": {"seeds": "*", "force": True}},
    }
