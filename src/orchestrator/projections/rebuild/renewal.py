"""The renewer: rebuilds read models of an older version than this release's, while the old tables stay in use."""

import logging
from collections.abc import Collection

from orchestrator.background.duty import DutyThread, OnRestart, ignore
from orchestrator.domain.errors import NeedsNewerProgram
from orchestrator.postgres.unavailable import DatabaseUnavailable
from orchestrator.projections.read_models.built_in import NAMES
from orchestrator.projections.rebuild.errors import RebuildInterrupted, RebuildRunning, RebuildStopped
from orchestrator.projections.rebuild.supervision import ReadModelSupervisor

logger = logging.getLogger(__name__)

_LOOK_AGAIN_SECONDS = 5.0
_TRY_AGAIN_SECONDS = 60.0


class Renewer:
    """A thread that rebuilds outdated read models, and ends when none of the named ones is outdated."""

    def __init__(
        self, supervisor: ReadModelSupervisor, on_restart: OnRestart = ignore, names: Collection[str] = NAMES
    ) -> None:
        self._supervisor = supervisor
        self._names = names
        self._duty = DutyThread("renewer", self._serve, on_restart)
        self._stopping = self._duty.stopping

    def start(self) -> None:
        """Start the thread."""
        self._duty.start()

    def stop(self, timeout: float | None = None) -> None:
        """Interrupt a running rebuild and wait up to `timeout` seconds; the next rebuild continues from there."""
        self._duty.stop(timeout)

    def _serve(self) -> None:
        while not self._stopping.is_set():
            try:
                outdated = [
                    one.name for one in self._supervisor.standings() if one.is_outdated and one.name in self._names
                ]
                if not outdated:
                    return
                for name in outdated:
                    report = self._supervisor.rebuild(name, stopping=self._stopping, busy=True)
                    logger.info(
                        "%s rebuilt as version %d: %d events in %.1f s",
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
                logger.error("%s", stopped)  # noqa: TRY400 - the message contains position and cause
                self._stopping.wait(_TRY_AGAIN_SECONDS)
            except NeedsNewerProgram as error:
                logger.warning("rebuild left to a newer release: %s", error)
                self._stopping.wait(_TRY_AGAIN_SECONDS)
            except DatabaseUnavailable as error:
                logger.warning("renewer waits, database unavailable: %s", error)
                self._stopping.wait(_LOOK_AGAIN_SECONDS)
