"""The contract of a read model of another package: the columns of its table, and the rows of a run."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from orchestrator.projections.read_models.contract import ProjectedRun, Row

GIVEN = {"tenant": "text", "run_id": "uuid"}
"""The columns that every table has. They are filled in, so rows must not contain them."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_TYPE = re.compile(r"[a-z][a-z0-9_ ]*(\([0-9, ]+\))?(\[\])?")


class CustomReadModel(ABC):
    """A table in the schema `orchestrator` whose rows are derived from runs.

    Register the class in the entry-point group `orchestrator.projections`; the entry point must have the model's name.
    The class is instantiated without arguments. Every row belongs to one run: the columns `tenant` and `run_id` are
    filled in, and the rows of a run must not depend on other runs. Rows are never deleted: once a run has a row, its
    values may change, but the row remains.

    Attributes:
        name: the name of the read model and its table: lower-case letters, digits and underscores, at most 40.
        version: raise it when `rows` makes other rows of the same events; the table is then rebuilt in the background.
        columns: the type of each column, such as `text`, `bigint` or `jsonb`. All columns except the key's may be null.
            A new version may add columns; columns that it no longer names stay in the table.
        key: the columns that identify a row within its run; empty if a run has only one row.
        schema: SQL for indexes and views, which runs after the table was created or replaced. It must be repeatable
            (`IF NOT EXISTS`, `OR REPLACE`).
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    columns: ClassVar[Mapping[str, str]]
    key: ClassVar[tuple[str, ...]] = ()
    schema: ClassVar[str] = ""

    @abstractmethod
    def rows(self, projected: ProjectedRun) -> Iterable[Row]:
        """Return the rows that have changed: those of the steps in `projected.touched`, or of the run itself.

        The projector calls this after events of the run, with the run's state after them. A rebuild calls it once with
        the complete run; `touched` then contains every step that has had an event. Values are JSON, dates or UUIDs.
        """


def faults(loaded: Any, name: str) -> Iterator[str]:
    """Yield what is wrong with the object loaded from an entry point of this name."""
    if not isinstance(loaded, type) or not issubclass(loaded, CustomReadModel):
        yield f"{loaded!r} is not a subclass of CustomReadModel"
        return
    model: Any = loaded  # its attributes may have any type
    if getattr(model, "__abstractmethods__", None):
        yield f"{model.__name__} does not define {', '.join(sorted(model.__abstractmethods__))}"
    found, version = getattr(model, "name", None), model.version
    if found != name:
        yield f"{model.__name__}.name is {found!r}, but its entry point is named {name!r}"
    if not _NAME.fullmatch(name):
        yield f"{name!r} is not a valid read model name: use lower-case letters, digits and underscores, at most 40"
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version < 2**31:
        yield f"{model.__name__}.version is {version!r}, not a positive integer"
    yield from _faults_of_columns(model)
    if not isinstance(model.schema, str):
        yield f"{model.__name__}.schema must be a string"


def _faults_of_columns(model: Any) -> Iterator[str]:
    columns, key = getattr(model, "columns", None), model.key
    if not isinstance(columns, Mapping) or not columns:
        yield f"{model.__name__}.columns must map column names to types"
        return
    for column, kind in columns.items():
        if column in GIVEN:
            yield f"{model.__name__}.columns names {column!r}, which every table has"
        elif not isinstance(column, str) or not _NAME.fullmatch(column):
            yield f"{model.__name__}.columns: {column!r} is not a valid column name"
        if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
            yield f"{model.__name__}.columns: {column!r} has the type {kind!r}, which is not a plain type"
    if not isinstance(key, tuple) or not set(key) <= set(columns):
        yield f"{model.__name__}.key is {key!r}, not a tuple of names in columns"
