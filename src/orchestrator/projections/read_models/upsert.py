"""Write the rows of runs: the only place that executes a read model's upsert."""

from collections.abc import Iterable
from itertools import chain

import orjson

from orchestrator.postgres.session import Execute
from orchestrator.projections.read_models.contract import ProjectedRun, ReadModel


def upsert(execute: Execute, model: ReadModel, touched: Iterable[ProjectedRun]) -> None:
    """Insert or replace the current rows of runs and their touched steps, in the caller's transaction."""
    if rows := list(chain.from_iterable(model.rows(projected) for projected in touched)):
        execute(model.upsert, (orjson.dumps(rows),))
