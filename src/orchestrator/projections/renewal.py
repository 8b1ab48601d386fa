"""The renewer: rebuilds the read models of which this program makes a newer version, while the old ones serve."""

import logging
import threading

from orchestrator.eventstore.database import DATABASE_AWAY
from orchestrator.projections.errors import RebuildInterrupted, RebuildRunning, RebuildStopped
from orchestrator.projections.supervision import ReadModelSupervisor

logger = logging.getLogger(__name__)

_LOOK_AGAIN_SECONDS = 5.0
_TRY_AGAIN_SECONDS = 60.0


class Renewer:
    """A thread that ends when no read model is older than this program."""

    def __init__(self, supervisor: ReadModelSupervisor) -> None:
        self._supervisor = supervisor
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="renewer", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Interrupt what is under way; the next one goes on from there."""
        self._stopping.set()
        self._thread.join()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            try:
                outdated = [standing.name for standing in self._supervisor.standings() if standing.is_outdated]
                if not outdated:
                    return
                for name in outdated:
                    report = self._supervisor.rebuild(name, stopping=self._stopping, busy=True)
                    logger.info(
                        "%s is of version %d now: %d events in %.1f s",
                        name,
                        report.version,
                        report.events,
                        report.seconds,
                    )
            except RebuildRunning:
                self._stopping.wait(_LOOK_AGAIN_SECONDS)
            except RebuildInterrupted as interrupted:
                logger.info("%s", interrupted)
            except RebuildStopped as stopped:
                logger.error("%s", stopped)  # noqa: TRY400 - it says itself where and why
                self._stopping.wait(_TRY_AGAIN_SECONDS)
            except DATABASE_AWAY as error:
                logger.warning("renewing pauses, the database is away: %s", error)
                self._stopping.wait(_LOOK_AGAIN_SECONDS)
            except Exception:
                logger.exception("a read model could not be renewed")
                self._stopping.wait(_TRY_AGAIN_SECONDS)
