"""What a skill receives besides its input: the run and step, a workspace, progress reports and artifacts."""

import math
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from uuid import UUID, uuid5

from structlog.typing import FilteringBoundLogger

from orchestrator.domain.output import Artifact
from orchestrator.skills import inputs
from orchestrator.skills.call import SkillCall
from orchestrator.skills.context_log import bound_logger
from orchestrator.skills.errors import SKILL_CANCELLED, SkillError, WorkerUnfit
from orchestrator.skills.logs import StepLog
from orchestrator.skills.masking import mask
from orchestrator.skills.secrets import Secrets

IDEMPOTENCY_NAMESPACE = UUID("0d6f2c1e-93c1-4d53-9a55-0f7f6b2f6c37")

ReportProgress = Callable[[float, str], None]


class ArtifactSink(Protocol):
    """Stores artifacts. It is called from threads; the artifact store implements it."""

    def put_bytes(
        self,
        tenant: str,
        data: bytes | bytearray | memoryview,
        *,
        type: str,  # noqa: A002 - the word of the domain
        filename: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Artifact:
        """Store bytes as an artifact."""
        ...

    def put_file(
        self,
        tenant: str,
        path: str | PathLike[str],
        *,
        type: str,  # noqa: A002
        filename: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Artifact:
        """Store a file as an artifact."""
        ...

    def register_uri(
        self,
        tenant: str,
        uri: str,
        *,
        type: str,  # noqa: A002
        content_hash: str = "",
        size_bytes: int = -1,
        filename: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Artifact:
        """Record something stored elsewhere as an artifact."""
        ...

    def read(self, artifact: Artifact, tenant: str) -> bytes:
        """Return the bytes of an artifact of this tenant."""
        ...

    def open_verified(self, artifact: Artifact, tenant: str) -> BinaryIO:
        """Open an artifact of this tenant; the read that reaches the end verifies it."""
        ...

    def read_only_path(self, artifact: Artifact, tenant: str) -> Path | None:
        """Return the path of a verified local file that cannot be changed, or None if there is none."""
        ...


class StepContext:
    """One attempt of one step, as its skill sees it. Safe to use from several threads.

    Attributes:
        run_id: the run.
        step_id: the step within the run's workflow.
        attempt: the number of the attempt, counted from 1.
        tenant: the tenant that owns the run.
        trace: the W3C traceparent to send with outgoing requests, or None.
        step_log: the log of the attempt, which holds what the skill prints, or None if no log is kept.
    """

    __slots__ = (
        "_artifacts",
        "_cancelled",
        "_closed",
        "_event",
        "_held_by",
        "_lock",
        "_log",
        "_report",
        "_secrets",
        "_sink",
        "_workspace",
        "attempt",
        "run_id",
        "step_id",
        "step_log",
        "tenant",
        "trace",
    )

    def __init__(
        self,
        run_id: str,
        step_id: str,
        attempt: int = 1,
        tenant: str = "default",
        *,
        sink: ArtifactSink | None = None,
        on_progress: ReportProgress | None = None,
        trace: str | None = None,
        secrets: Secrets | None = None,
        step_log: StepLog | None = None,
    ) -> None:
        self.run_id = run_id
        self.step_id = step_id
        self.attempt = attempt
        self.tenant = tenant
        self.trace = trace
        self.step_log = step_log
        self._sink = sink
        self._report = on_progress
        self._secrets = secrets
        self._artifacts: dict[tuple[str, str | None], Artifact] = {}
        self._cancelled = False
        self._event: threading.Event | None = None  # created on the first wait: many contexts never need it
        self._lock = threading.Lock()
        self._workspace: Path | None = None
        self._log: FilteringBoundLogger | None = None
        self._held_by: Future[Any] | None = None
        self._closed = False

    @classmethod
    def for_call(
        cls,
        call: SkillCall,
        sink: ArtifactSink | None = None,
        on_progress: ReportProgress | None = None,
        secrets: Secrets | None = None,
        step_log: StepLog | None = None,
    ) -> "StepContext":
        """Return the context of a call."""
        return cls(
            call.run_id,
            call.step_id,
            call.attempt,
            call.tenant,
            sink=sink,
            on_progress=on_progress,
            trace=call.trace,
            secrets=secrets,
            step_log=step_log,
        )

    @property
    def idempotency_key(self) -> str:
        """A UUID that is the same for every attempt of this step in this run, on any worker."""
        return str(uuid5(IDEMPOTENCY_NAMESPACE, f"{self.run_id}\n{self.step_id}"))

    @property
    def workspace(self) -> Path:
        """A temporary folder for this attempt, created on first use and removed when the attempt has ended.

        Raises:
            SkillError: the attempt has already ended.
            WorkerUnfit: the folder cannot be created.
        """
        with self._lock:
            if self._workspace is None:
                self._refuse_when_closed()
                self._workspace = _new_folder()
            return self._workspace

    @property
    def log(self) -> FilteringBoundLogger:
        """A structured logger bound to the run, step and attempt. The log of the attempt keeps its lines, too."""
        if self._log is None:
            self._log = bound_logger(self.step_log, run_id=self.run_id, step_id=self.step_id, attempt=self.attempt)
        return self._log

    @property
    def cancelled(self) -> bool:
        """Whether this attempt was cancelled. A long loop should check this and return."""
        return self._cancelled

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """The artifacts of this attempt without duplicates, in the order they were stored."""
        return tuple(self._artifacts.values()) if self._artifacts else ()

    def wait(self, seconds: float) -> bool:
        """Block the thread for `seconds`, or until the attempt is cancelled; return `cancelled`.

        Raises:
            TypeError: `seconds` is not a number. A None from a missing input would otherwise wait forever.
        """
        if not isinstance(seconds, int | float) or math.isnan(seconds):
            raise TypeError(f"ctx.wait takes a number of seconds, not {seconds!r}")
        with self._lock:
            if self._event is None:
                self._event = threading.Event()
                if self._cancelled:
                    self._event.set()
            event = self._event
        return event.wait(min(seconds, threading.TIMEOUT_MAX))

    def cancel(self) -> None:
        """Ask the skill to stop: `cancelled` is True from now on."""
        with self._lock:
            self._cancelled = True
            if self._event is not None:
                self._event.set()

    def progress(self, fraction: float, message: str = "") -> None:
        """Report the progress of the attempt: `fraction` from 0 to 1 (clamped) and a short message."""
        if self._report is not None and not self._closed and not self._cancelled:
            self._report(min(1.0, max(0.0, fraction)), mask(message))

    def secret(self, name: str) -> str:
        """Return the value of a secret: from the environment, a file or a provider.

        From then on `***` means it in errors, `ctx.log` and progress. A result that contains it fails the step.
        This call blocks when a file or a provider is read, at most every 30 seconds: in an async skill, call it
        through `asyncio.to_thread`.

        Raises:
            SecretNotFound: no source has the secret; the message names each place where it was looked for.
        """
        if self._secrets is None:
            raise TypeError("this StepContext was made without secrets")
        return self._secrets.get(name)

    def artifact(
        self,
        path_or_bytes: str | PathLike[str] | bytes | bytearray | memoryview,
        type: str,  # noqa: A002
        filename: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Artifact:
        """Store a file or bytes as an artifact of this step immediately.

        A relative path is resolved against the workspace. This call blocks: in an async skill, call it through
        `asyncio.to_thread` for large files, so that other steps can continue.

        Raises:
            ArtifactRejected: the type, filename or metadata is invalid.
            SkillError: the attempt has already ended.
            OSError: the file cannot be read, or the store cannot be written.
        """
        sink = self._open_sink()
        if isinstance(path_or_bytes, bytes | bytearray | memoryview):
            made = sink.put_bytes(self.tenant, path_or_bytes, type=type, filename=filename, metadata=metadata)
        else:
            path = Path(path_or_bytes)
            path = path if path.is_absolute() else self.workspace / path
            made = sink.put_file(self.tenant, path, type=type, filename=filename, metadata=metadata)
        return self._keep(made)

    def read_artifact(self, artifact: Artifact | Mapping[str, Any]) -> bytes:
        """Return the bytes of an earlier step's artifact, as passed in the input (`steps.x.artifacts[0]`).

        Raises:
            ArtifactGone: the bytes are missing or have changed.
            ArtifactRejected: the artifact is not kept in the artifact store, or belongs to another tenant.
            SkillError: the value does not describe an artifact.
        """
        return self._open_sink().read(inputs.artifact_of(artifact), self.tenant)

    def open_artifact(self, artifact: Artifact | Mapping[str, Any]) -> BinaryIO:
        """Return a binary stream over an earlier step's artifact, for bytes that are too many for `read_artifact`.

        It reads forward only. The read that reaches the end raises ArtifactGone if the bytes have changed. Close it.

        Raises:
            ArtifactGone, ArtifactRejected, SkillError: see `read_artifact`.
        """
        return self._open_sink().open_verified(inputs.artifact_of(artifact), self.tenant)

    def artifact_path(self, artifact: Artifact | Mapping[str, Any]) -> Path:
        """Return the path of a file with the verified bytes of an earlier step's artifact, for programs to read.

        The file is read-only, has the artifact's filename, and is there until the attempt ends. It is a link to the
        file of a store on a local disk, else a copy in the workspace. This call blocks while it verifies or copies.

        Raises:
            ArtifactGone, ArtifactRejected, SkillError: see `read_artifact`.
            OSError: the workspace cannot be written.
        """
        sink, described = self._open_sink(), inputs.artifact_of(artifact)
        own = sink.read_only_path(described, self.tenant)
        path = inputs.file_for(described, self.workspace)
        if own is not None:
            inputs.link(own, path)
        elif not path.exists():
            with sink.open_verified(described, self.tenant) as source:
                inputs.copy(source, path)
        return path

    def register_uri(
        self,
        uri: str,
        type: str,  # noqa: A002
        *,
        content_hash: str = "",
        size_bytes: int = -1,
        filename: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Artifact:
        """Record an http or https uri as an artifact of this step, without fetching it.

        Raises:
            ArtifactRejected: the uri has another scheme, or another argument is invalid.
            SkillError: the attempt has already ended.
        """
        made = self._open_sink().register_uri(
            self.tenant,
            uri,
            type=type,
            content_hash=content_hash,
            size_bytes=size_bytes,
            filename=filename,
            metadata=metadata,
        )
        return self._keep(made)

    @property
    def has_workspace(self) -> bool:
        """Whether the workspace exists and must be removed."""
        return self._workspace is not None

    def hold(self, thread: "Future[Any]") -> None:
        """Keep the workspace until this call in a thread, which was cancelled or abandoned, has returned."""
        self._held_by = thread

    def close(self) -> None:
        """End the attempt: refuse further calls, and remove the workspace once no thread uses it."""
        self._closed = True
        held_by, self._held_by = self._held_by, None
        if held_by is not None:
            held_by.add_done_callback(lambda _: self.close())
            return
        with self._lock:
            workspace, self._workspace = self._workspace, None
        if workspace is not None:
            shutil.rmtree(workspace, ignore_errors=True)

    def _keep(self, artifact: Artifact) -> Artifact:
        with self._lock:
            return self._artifacts.setdefault((artifact.id, artifact.filename), artifact)

    def _open_sink(self) -> ArtifactSink:
        self._refuse_when_closed()
        if self._sink is None:
            raise TypeError("this StepContext was made without an artifact sink")
        return self._sink

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise SkillError(SKILL_CANCELLED, f"attempt {self.attempt} of {self.step_id} has ended")


def _new_folder() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="step-"))
    except OSError as error:
        message = f"cannot create a workspace in {tempfile.gettempdir()}: {error.strerror}"
        raise WorkerUnfit(message) from error
