"""Build what keeps the read models up to date: projectors, renewers and the hash chain."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from orchestrator.application.core import Core
from orchestrator.audit.chain import Chain, ChainKeeper
from orchestrator.domain.run import Run
from orchestrator.eventstore.log import PostgresLog
from orchestrator.eventstore.recorded import Recorded
from orchestrator.projections.journal import tell
from orchestrator.projections.projector import Projector, Tell
from orchestrator.projections.read_models.contract import ReadModel
from orchestrator.projections.rebuild.renewal import Renewer
from orchestrator.projections.rebuild.supervision import ReadModelSupervisor

_CUSTOM_END_SECONDS = 2.0


def build_projector(core: Core, on_news: Tell | None = None) -> Projector:
    """Return a projector of the built-in read models. It is not started."""
    return Projector(
        core.database,
        core.log,
        core.workflows.get,
        core.listener,
        batch_size=core.settings.projector_batch,
        tell=on_news,
        on_restart=core.metrics.duty_restarted,
    )


def build_custom_projector(core: Core, model: ReadModel) -> Projector:
    """Return a projector of one custom read model, with its own thread, connection and transactions."""
    log = PostgresLog(core.log.recorder, core.log.mapper, core.log.writer)  # the tail has one reader
    return Projector(
        core.database,
        log,
        core.workflows.get,
        core.listener,
        models=(model,),
        batch_size=core.settings.projector_batch,
        on_restart=core.metrics.duty_restarted,
        name=f"projector of {model.name}",
        notifies=False,
    )


@contextmanager
def open_custom_projectors(core: Core) -> Iterator[None]:
    """Run a separate projector for each custom read model. One that does not stop within 2 s is abandoned."""
    projectors = [build_custom_projector(core, model) for model in core.read_models.custom]
    renewers = [
        Renewer(core.read_models, core.metrics.duty_restarted, (model.name,)) for model in core.read_models.custom
    ]
    duties: list[Projector | Renewer] = [*renewers, *projectors]
    for duty in duties:
        duty.start()
    try:
        yield
    finally:
        deadline = time.monotonic() + _CUSTOM_END_SECONDS
        for duty in duties:
            duty.stop(max(0.0, deadline - time.monotonic()))


@contextmanager
def open_projector(core: Core) -> Iterator[Projector]:
    """Run a projector that reports to the journal and the metrics, with its related duties, each in a thread.

    These are the keeper of the hash chain, the renewer of read models from an older program, and the projectors of
    custom read models.
    """
    projector = build_projector(core, lambda batch, runs: _tell(core, batch, runs))
    keeper = ChainKeeper(build_chain(core), core.listener, core.metrics.duty_restarted)
    renewer = Renewer(core.read_models, core.metrics.duty_restarted)
    projector.start()
    keeper.start()
    renewer.start()
    try:
        with core.log.tail.followed(), open_custom_projectors(core):
            yield projector
    finally:
        renewer.stop()
        keeper.stop()
        projector.stop()


def _tell(core: Core, batch: Iterable[Recorded], runs: Mapping[str, Run]) -> None:
    """Report events to the journal and the metrics."""
    core.metrics.tell(batch, runs)
    tell(batch, runs)


def build_supervisor(core: Core) -> ReadModelSupervisor:
    """Return the supervisor that rebuilds and verifies the read models."""
    return core.read_models


def build_chain(core: Core) -> Chain:
    """Return the hash chain over the log."""
    return Chain(core.database, core.log.recorder)
