"""Whether artifacts are still what was recorded: asked before a cached result is used again, and by audits."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from ssl import SSLContext

from orchestrator.artifacts.names import is_outside
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.domain.output import Artifact

HEAD_TIMEOUT_SECONDS = 5.0
_HEADS_AT_ONCE = 8


def verify(store: ArtifactStore, artifact: Artifact) -> str | None:
    """Return None when the artifact is intact, else the reason in words.

    Stored bytes are compared by size and SHA-256 (remembered as long as the file is left alone). A uri from
    outside is asked for with HEAD, at most 5 s long: its status and, when it says so, its length decide.
    """
    return _head(artifact) if is_outside(artifact) else store.fault(artifact)


def verify_all(store: ArtifactStore, artifacts: Iterable[Artifact]) -> list[tuple[Artifact, str]]:
    """Return the artifacts that are not intact, each with the reason; empty when all are intact."""
    wanted = list(artifacts)
    outside = list({artifact.uri: artifact for artifact in wanted if is_outside(artifact)}.values())
    if len(outside) > 1:  # dead servers cost seconds each: ask them side by side
        with ThreadPoolExecutor(_HEADS_AT_ONCE, "artifact-head") as threads:
            answers = dict(zip((a.uri for a in outside), threads.map(_head, outside), strict=True))
    else:
        answers = {artifact.uri: _head(artifact) for artifact in outside}
    found = (
        (artifact, answers[artifact.uri] if is_outside(artifact) else store.fault(artifact)) for artifact in wanted
    )
    return [(artifact, reason) for artifact, reason in found if reason is not None]


def _head(artifact: Artifact) -> str | None:
    import httpx  # noqa: PLC0415 - every process imports this module, hardly any asks for a uri

    try:
        with httpx.Client(
            verify=_tls(), timeout=HEAD_TIMEOUT_SECONDS, follow_redirects=True, max_redirects=5
        ) as client:
            answer = client.head(artifact.uri)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"out of reach: {type(error).__name__}: {error}"
    if not answer.is_success:
        return f"missing: HEAD answered {answer.status_code}"
    length = answer.headers.get("content-length")
    if artifact.size_bytes >= 0 and length is not None and "content-encoding" not in answer.headers:
        return (
            None if length == str(artifact.size_bytes) else f"altered: size {length} instead of {artifact.size_bytes}"
        )
    return None


@cache
def _tls() -> SSLContext:
    """Return the certificates to trust; reading them takes longer than a request."""
    import httpx  # noqa: PLC0415 - see `_head`

    return httpx.create_ssl_context()
