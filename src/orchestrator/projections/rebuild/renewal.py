"""The renewer: rebuilds the read models of which this program makes a newer version, while the old ones serve."""

import logging

from orchestrator.background.duty import DutyThread, OnRestart, ignore
from orchestrator.domain.errors import NeedsNewerProgram
from orchestrator.postgres.unavailable import DatabaseUnavailable
from orchestrator.projections.rebuild.errors import RebuildInterrupted, RebuildRunning, RebuildStopped
from orchestrator.projections.rebuild.supervision import ReadModelSupervisor

logger = logging.getLogger(__name__)

_LOOK_AGAIN_SECONDS = 5.0
_TRY_AGAIN_SECONDS = 60.0


class Renewer:
    """A thread that ends when no read model is older than this program."""

    def __init__(self, supervisor: ReadModelSupervisor, on_restart: OnRestart = ignore) -> None:
        self._supervisor = supervisor
        self._duty = DutyThread("renewer", self._serve, on_restart)
        self._stopping = self._duty.stopping

    def start(self) -> None:
        """Begin to look."""
        self._duty.start()

    def stop(self) -> None:
        """Interrupt what is under way; the next one goes on from there."""
        self._duty.stop()

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
            except NeedsNewerProgram as error:
                logger.warning("renewing is left to a newer release: %s", error)
                self._stopping.wait(_TRY_AGAIN_SECONDS)
            except DatabaseUnavailable as error:
                logger.warning("renewing waits, database unavailable: %s", error)
                self._stopping.wait(_LOOK_AGAIN_SECONDS)
