"""The renewer: rebuilds the read models of which this program makes a newer version, while the old ones serve."""

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
    """A thread that ends when none of the read models named is older than this program."""

    def __init__(
        self, supervisor: ReadModelSupervisor, on_restart: OnRestart = ignore, names: Collection[str] = NAMES
    ) -> None:
        self._supervisor = supervisor
        self._names = names
        self._duty = DutyThread("renewer", self._serve, on_restart)
        self._stopping = self._duty.stopping

    def start(self) -> None:
        """Begin to look."""
        self._duty.start()

    def stop(self, timeout: float | None = None) -> None:
        """Interrupt what is under way, and wait for that up to `timeout` seconds; the next one goes on from there."""
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
