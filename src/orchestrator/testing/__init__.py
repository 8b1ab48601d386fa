"""A test kit: call skills and run workflows in process, without a database or a server.

    from orchestrator.testing import call, run

    called = call(greet, {"name": "Ada"})
    assert called.data == {"text": "Hello Ada"}

    ran = run("hello.yaml", {"name": "Ada"}, skills=[greet], results={"find": {"id": 7}})
    assert ran.status == "completed"

`call` and `run` block; in a coroutine, await `acall` and `arun`. The pytest fixture `orchestrator` has both.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.testing.called import Called, acall, call
    from orchestrator.testing.collected import CollectedArtifact, CollectedLog, artifact
    from orchestrator.testing.ran import RanRun
    from orchestrator.testing.running import arun, run

__all__ = ["Called", "CollectedArtifact", "CollectedLog", "RanRun", "acall", "artifact", "arun", "call", "run"]

# Imported lazily: the pytest plugin is imported by every pytest of an environment where this package is installed.
_HOMES = {
    "Called": "called",
    "CollectedArtifact": "collected",
    "CollectedLog": "collected",
    "RanRun": "ran",
    "acall": "called",
    "artifact": "collected",
    "arun": "running",
    "call": "called",
    "run": "running",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
