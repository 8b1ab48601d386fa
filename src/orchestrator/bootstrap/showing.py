"""What keeps the read models."""

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
    """Return a projector that does not run yet."""
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
    """Return a projector of one custom read model: with a thread, a connection and transactions of its own."""
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
    """Keep the custom read models, each on its own; one that does not end in time is left behind."""
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
    """Run a projector, whose news go to the journal and the metrics, and what goes with it, each in a thread.

    That is the keeper of the chain, and the renewer of read models made by an older program.
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
    """Tell of events: in the journal, and as metrics."""
    core.metrics.tell(batch, runs)
    tell(batch, runs)


def build_supervisor(core: Core) -> ReadModelSupervisor:
    """Return what rebuilds and compares the read models."""
    return core.read_models


def build_chain(core: Core) -> Chain:
    """Return the hash chain over the log."""
    return Chain(core.database, core.log.recorder)
