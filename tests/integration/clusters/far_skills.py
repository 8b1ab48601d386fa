"""Skills for attempts on clusters. Each writes a line to a file when it begins, so that executions can be counted."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from orchestrator.domain.output import Artifact
from orchestrator.skills import StepContext, skill


def _began(given: dict[str, Any]) -> None:
    with Path(given["file"]).open("a", encoding="utf-8") as file:
        file.write(f"{os.getpid()}\n")


@skill("far.add", version="1.0.0")
def add(given: dict[str, Any]) -> dict[str, Any]:
    _began(given)
    print("printed by the skill")
    return {"sum": given["a"] + given["b"], "pid": os.getpid()}


@skill("far.fail", version="1.0.0")
def fail(given: dict[str, Any]) -> dict[str, Any]:
    _began(given)
    raise ValueError("the skill failed")


@skill("far.make", version="1.0.0")
def make(given: dict[str, Any], ctx: StepContext) -> dict[str, Any]:
    _began(given)
    made: Artifact = ctx.artifact(b"made far away", "text/plain", "made.txt")
    return {"artifact": made.id, "large": "x" * given.get("size", 0)}


@skill("far.hang", version="1.0.0")
def hang(given: dict[str, Any], ctx: StepContext) -> dict[str, Any]:
    """Run until asked to stop."""
    _began(given)
    return {"stopped": ctx.wait(60)}


@skill("far.deaf", version="1.0.0")
def deaf(given: dict[str, Any]) -> dict[str, Any]:
    """Run on whatever is asked, with a process of its own."""
    _began(given)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    with Path(f"{given['file']}.child").open("w", encoding="utf-8") as file:
        file.write(str(child.pid))
    time.sleep(300)  # nothing tells when
    return {}


@skill("far.nap", version="1.0.0")
def nap(given: dict[str, Any]) -> dict[str, Any]:
    if "file" in given:
        _began(given)
    time.sleep(given["seconds"])  # the time itself is the subject
    return {}
