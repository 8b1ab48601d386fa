"""The peer's side of the protocol: a request is a line of JSON on stdin, the response a marked line on stdout."""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

MARK = "answer "
"""The prefix of each response, which distinguishes it from output of libraries."""


def answer(workloads: Mapping[str, Callable[..., Mapping[str, Any]]]) -> None:
    """Report that the program is ready, then execute requests until stdin ends."""
    _say({"ready": True})
    for line in sys.stdin:
        question = json.loads(line)
        _say(workloads[question.pop("workload")](**question))


def _say(document: Mapping[str, Any]) -> None:
    print(MARK + json.dumps(document), flush=True)
