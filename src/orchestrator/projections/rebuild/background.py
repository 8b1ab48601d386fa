"""Rebuild read models in the background of a process that also serves requests."""

import logging
import threading
from concurrent.futures import Future

from orchestrator.projections.rebuild.errors import RebuildInterrupted, RebuildRunning
from orchestrator.projections.rebuild.supervision import ReadModelSupervisor

logger = logging.getLogger(__name__)

_END_SECONDS = 1.0


class BackgroundRebuilds:
    """Rebuilds read models, each in its own thread; the work of a long rebuild is done by other processes."""

    def __init__(self, supervisor: ReadModelSupervisor) -> None:
        self._supervisor = supervisor
        self._stopping = threading.Event()
        self._threads: dict[str, threading.Thread] = {}
        self._lock = threading.Lock()

    def start(self, name: str, by: str) -> None:
        """Start rebuilding a read model, and return once the rebuild has begun.

        `by` names who requested it.

        Raises:
            ProjectionNotFound: there is no read model with this name.
            RebuildRunning: the read model is already being rebuilt.
            ProgramTooOld: a newer release wrote the live rows.
        """
        self._supervisor.require(name)
        begun: Future[None] = Future()
        with self._lock:
            running = self._threads.get(name)
            if running is not None and running.is_alive():
                raise RebuildRunning(f"{name} is being rebuilt by this process", name=name)
            thread = threading.Thread(target=self._rebuild, args=(name, by, begun), name=f"rebuild-{name}", daemon=True)
            self._threads[name] = thread
            thread.start()
        begun.result()

    def close(self) -> None:
        """Interrupt the running rebuilds; a later rebuild continues where they stopped."""
        self._stopping.set()
        for thread in self._threads.values():
            thread.join(_END_SECONDS)

    def _rebuild(self, name: str, by: str, begun: "Future[None]") -> None:
        try:
            report = self._supervisor.rebuild(
                name, on_begun=lambda: begun.set_result(None), stopping=self._stopping, busy=True
            )
        except BaseException as error:
            if not begun.done():
                begun.set_exception(error)
            elif isinstance(error, RebuildInterrupted):
                logger.info("%s", error)
            else:
                logger.exception("rebuild of %s, requested by %s, failed", name, by)
        else:
            log = logger.warning if report.is_faulty else logger.info
            log(
                "%s rebuilt: %d events in %.1f s, %d rows were different",
                name,
                report.events,
                report.seconds,
                report.differing,
                extra={"asked_by": by},
            )
