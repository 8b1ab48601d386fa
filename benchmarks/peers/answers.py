"""The peer's side of the conversation: a question is a line of JSON on stdin, its answer a marked line on stdout."""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

MARK = "answer "
"""Begins each of our lines, so that what a library prints is not taken for one."""


def answer(workloads: Mapping[str, Callable[..., Mapping[str, Any]]]) -> None:
    """Say that we are ready, then do what is asked until stdin ends."""
    _say({"ready": True})
    for line in sys.stdin:
        question = json.loads(line)
        _say(workloads[question.pop("workload")](**question))


def _say(document: Mapping[str, Any]) -> None:
    print(MARK + json.dumps(document), flush=True)
