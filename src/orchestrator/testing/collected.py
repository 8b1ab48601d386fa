"""What the skills of a test leave behind: log lines, progress and artifacts, collected in memory."""

import os
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn

import structlog
from structlog.typing import FilteringBoundLogger

from orchestrator.artifacts.store import ArtifactStore
from orchestrator.domain.output import Artifact, artifact_to_json
from orchestrator.skills.call import SkillCall
from orchestrator.skills.context import ArtifactSink, StepContext

TENANT = "default"
"""The tenant of everything in a test."""

_BOUND = ("run_id", "step_id", "attempt")


@dataclass(frozen=True, slots=True)
class CollectedLog:
    """What a skill said with `ctx.log`: `ctx.log.info("loaded", rows=3)` is `("info", "loaded", {"rows": 3})`."""

    level: str
    text: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CollectedArtifact:
    """An artifact that a skill left behind.

    Attributes:
        type: its type, such as `image/png`.
        filename: its filename, or None.
        content: its bytes; None for a URI that the skill registered.
        metadata: its metadata.
        document: the artifact as JSON, as selectors see it: pass it to a skill that reads it with `ctx.read_artifact`.
    """

    type: str
    filename: str | None
    content: bytes | None
    metadata: Mapping[str, Any]
    document: dict[str, Any]

    def __repr__(self) -> str:
        size = self.document["uri"] if self.content is None else f"{len(self.content):,} bytes"
        return f"<artifact {self.filename or self.document['id']} {self.type}, {size}>"


class CollectingContext(StepContext):
    """A context that keeps what its skill says and reports, and knows the secrets of the test."""

    def __init__(self, call: SkillCall, sink: ArtifactSink, secrets: Mapping[str, str]) -> None:
        self.logs: list[CollectedLog] = []
        self.reported: list[tuple[float, str]] = []
        self._given_secrets = secrets
        super().__init__(
            call.run_id,
            call.step_id,
            call.attempt,
            call.tenant,
            sink=sink,
            on_progress=lambda fraction, message: self.reported.append((fraction, message)),
            trace=call.trace,
        )

    @property
    def log(self) -> FilteringBoundLogger:
        """A structured logger whose lines are collected and not printed."""
        if self._log is None:
            self._log = structlog.wrap_logger(
                None, processors=[self._collect], wrapper_class=structlog.make_filtering_bound_logger(0)
            ).bind(run_id=self.run_id, step_id=self.step_id, attempt=self.attempt)
        return self._log

    def secret(self, name: str) -> str:
        """Return a secret that was given to the test.

        Raises:
            LookupError: there is none of this name.
        """
        if name not in self._given_secrets:
            raise LookupError(f"no secret {name!r}; pass secrets={{{name!r}: ...}} to the test kit")
        return self._given_secrets[name]

    def _collect(self, _logger: Any, level: str, line: MutableMapping[str, Any]) -> NoReturn:
        fields = {name: value for name, value in line.items() if name not in (*_BOUND, "event")}
        self.logs.append(CollectedLog(level, str(line["event"]), fields))
        raise structlog.DropEvent


def artifact(
    content: bytes,
    type: str,  # noqa: A002 - the word of the domain
    filename: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Store bytes as an artifact, and return it as JSON, to be the input of a skill that reads artifacts.

    Raises:
        ArtifactRejected: the type, filename or metadata is invalid.
    """
    made = memory_store().put_bytes(TENANT, content, type=type, filename=filename, metadata=metadata)
    return artifact_to_json(made)


def collected(store: ArtifactStore, artifacts: Iterable[Artifact], tenant: str = TENANT) -> list[CollectedArtifact]:
    """Return artifacts with their bytes."""
    return [
        CollectedArtifact(
            one.type,
            one.filename,
            None if one.uri.startswith(("http://", "https://")) else store.read(one, tenant),
            one.metadata,
            artifact_to_json(one),
        )
        for one in artifacts
    ]


@cache
def memory_store() -> ArtifactStore:
    """Return the artifact store of the tests of this process. It is in memory, and kept until the process ends."""
    return ArtifactStore(f"memory://orchestrator-testing-{os.getpid()}")
