"""Verify that artifacts match what was recorded, before a cached result is reused and in audits."""

from collections.abc import Iterable

from orchestrator.artifacts.errors import StoreUnavailable
from orchestrator.artifacts.names import is_outside
from orchestrator.artifacts.outside import Verdict
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.domain.output import Artifact


def verify(store: ArtifactStore, artifact: Artifact) -> str | None:
    """Return None if the artifact is known to be intact, otherwise the reason.

    Stored bytes are compared by size and SHA-256 (the hash is cached until the file changes). An external URI is
    checked with a HEAD request of at most 5 s, by its status and, if sent, its content length.
    """
    (verdict,) = examine(store, [artifact])
    return None if verdict is None else verdict.reason


def verify_all(store: ArtifactStore, artifacts: Iterable[Artifact]) -> list[tuple[Artifact, str]]:
    """Return the artifacts that are not known to be intact, each with the reason."""
    wanted = list(artifacts)
    verdicts = zip(wanted, examine(store, wanted), strict=True)
    return [(artifact, verdict.reason) for artifact, verdict in verdicts if verdict is not None]


def examine(store: ArtifactStore, artifacts: Iterable[Artifact]) -> list[Verdict | None]:
    """Return for each artifact None if it is intact, otherwise a verdict: it is faulty, or could not be checked."""
    wanted = list(artifacts)
    outside = store.outside.verdicts((each.uri, each.size_bytes) for each in wanted if is_outside(each))
    return [outside[each.uri, each.size_bytes] if is_outside(each) else _stored(store, each) for each in wanted]


def _stored(store: ArtifactStore, artifact: Artifact) -> Verdict | None:
    try:
        fault = store.fault(artifact)
    except StoreUnavailable as error:
        return Verdict(f"not checked: {error}", checked=False)
    return None if fault is None else Verdict(fault)
