"""The program of a slot: loads the skills once, then performs one attempt after another.

    python -m orchestrator.clusters.performer ORDERS

It reads one JSON document a line from stdin and writes one line for each to stdout: first what skills it has, then what
became of each attempt. What skills print goes to stderr. On Linux the process that is started is a keeper: it kills the
performer and all that its skills started when the pipe ORDERS says so, or is closed because the other side has ended.
"""

import os
import signal
import sys
import time
from functools import cache
from typing import Any, BinaryIO

import orjson

from orchestrator.artifacts.store import ArtifactStore
from orchestrator.clusters.forms import error_to_json, work_from_json
from orchestrator.domain.errors import DomainError
from orchestrator.domain.output import Output, StepError, output_to_json
from orchestrator.settings import SettingsError, load_settings
from orchestrator.skills import keeper
from orchestrator.skills.code import codes_of
from orchestrator.skills.errors import to_step_error
from orchestrator.skills.process import mask_own_log, perform_here
from orchestrator.skills.registry import SkillRegistry
from orchestrator.skills.secrets import Secrets

HAS_KEEPER = sys.platform == "linux"


def serve(orders: int) -> None:
    """Perform what stdin says until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if HAS_KEEPER:
        _leave_keeper(orders)
    asked, told = _take_standard_streams()
    with asked, told:
        try:
            settings = load_settings()
            registry = SkillRegistry()
            registry.load_entry_points()
            registry.load_modules(settings.skills)
        except (DomainError, SettingsError) as error:
            _tell(told, {"fault": str(error)})
            return
        mask_own_log()
        secrets = Secrets(settings.secret_variables, settings.secrets_dir)
        _tell(told, {"skills": _labels(registry)})
        for line in asked:
            answer = _performed(registry, secrets, orjson.loads(line))
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # performing restores the default, which ends the process
            if HAS_KEEPER:
                keeper.end_descendants()
            _tell(told, answer)


def _performed(registry: SkillRegistry, secrets: Secrets, document: dict[str, Any]) -> dict[str, Any]:
    work, place = work_from_json(document["work"]), document["store"]
    store = _store(place["url"], place["spillBytes"])
    began = time.monotonic()
    outcome = perform_here(registry, work.call, store, secrets=secrets)
    duration_ms = (time.monotonic() - began) * 1000
    if isinstance(outcome, Output):
        try:
            outcome = store.spill(work.call.tenant, outcome)
        except Exception as error:  # noqa: BLE001 - becomes the outcome
            outcome = to_step_error(error)
    if isinstance(outcome, Output):
        return {"output": output_to_json(outcome), "durationMs": duration_ms}
    if isinstance(outcome, StepError):
        return {"error": error_to_json(outcome), "durationMs": duration_ms}
    return {"unfit": str(outcome)}


@cache
def _store(url: str, spill_bytes: int) -> ArtifactStore:
    return ArtifactStore(url, spill_bytes)


def _labels(registry: SkillRegistry) -> dict[str, list[str]]:
    """Return the labels of each skill: `id@version`, and the one with the fingerprint of its code."""
    plain = {skill_id: registry.label(skill_id) or skill_id for skill_id in registry.ids}
    codes = codes_of(registry)
    return {skill_id: [label, f"{label}+{codes.get(skill_id, '')}"] for skill_id, label in plain.items()}


def _take_standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """Return stdin and stdout, and put nothing and stderr in their places, so that skills cannot disturb them."""
    asked, told = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return asked, told


def _tell(told: BinaryIO, document: dict[str, Any]) -> None:
    told.write(orjson.dumps(document) + b"\n")
    told.flush()


def _leave_keeper(orders: int) -> None:
    """Fork: the process that was started becomes the keeper, and the new one returns from here."""
    keeper.adopt_orphans()
    wakeup = keeper.on_child_signals()
    pid = os.fork()
    if pid:
        os.close(0)
        os.close(1)
        status = keeper.tend(pid, orders, wakeup, ask=os.kill)
        code = os.waitstatus_to_exitcode(status)
        os._exit(code if code >= 0 else 128 - code)
    os.close(orders)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    keeper.end_with_parent()
    keeper.adopt_orphans()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
