"""Whether artifacts are still what was recorded: asked before a cached result is used again, and by audits."""

from collections.abc import Iterable

from orchestrator.artifacts.names import is_outside
from orchestrator.artifacts.outside import Verdict
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.domain.output import Artifact


def verify(store: ArtifactStore, artifact: Artifact) -> str | None:
    """Return None when the artifact is known to be intact, else the reason in words.

    Stored bytes are compared by size and SHA-256 (remembered as long as the file is left alone). A uri from
    outside is asked for with HEAD, at most 5 s long: its status and, when it says so, its length decide.
    """
    (verdict,) = examine(store, [artifact])
    return None if verdict is None else verdict.reason


def verify_all(store: ArtifactStore, artifacts: Iterable[Artifact]) -> list[tuple[Artifact, str]]:
    """Return the artifacts that are not known to be intact, each with the reason."""
    wanted = list(artifacts)
    verdicts = zip(wanted, examine(store, wanted), strict=True)
    return [(artifact, verdict.reason) for artifact, verdict in verdicts if verdict is not None]


def examine(store: ArtifactStore, artifacts: Iterable[Artifact]) -> list[Verdict | None]:
    """Return for each artifact None when it is intact, or that it is wrong, or that it could not be looked at."""
    wanted = list(artifacts)
    outside = store.outside.verdicts((each.uri, each.size_bytes) for each in wanted if is_outside(each))
    return [outside[each.uri, each.size_bytes] if is_outside(each) else _stored(store.fault(each)) for each in wanted]


def _stored(fault: str | None) -> Verdict | None:
    return None if fault is None else Verdict(fault)
