"""The table of a custom read model: generate SQL from its columns, and check rows before they are written."""

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import orjson
from psycopg.sql import SQL, Composable, Identifier, Literal

from orchestrator.postgres.database import Connection
from orchestrator.postgres.session import Statement
from orchestrator.postgres.sql import load_sql
from orchestrator.projections.custom.contract import GIVEN, CustomReadModel
from orchestrator.projections.read_models.contract import ProjectedRun, ReadModel, Row

_SQL = load_sql(__file__)
_DOCUMENTS = ("json", "jsonb")


class CustomTable(ReadModel):
    """Adapts a custom read model for the projector and rebuilds. It can be pickled if its class can be imported."""

    def __init__(self, model: CustomReadModel) -> None:
        self._model = model
        self._columns = {**GIVEN, **model.columns}
        self.name = model.name
        self.version = model.version
        self.key = ("run_id", *model.key)
        self.documents = tuple(column for column, kind in model.columns.items() if kind in _DOCUMENTS)
        self.topics = None
        self.upsert = Statement(f"upsert_{model.name}", self._sql("upsert"), ["json"])

    def rows(self, projected: ProjectedRun) -> Iterator[Row]:
        """Yield the rows of a run, each with all columns in the order of the table.

        Raises:
            ValueError: a row lacks a column or has an unknown one, or two rows have the same key.
            TypeError: a value cannot be converted to JSON.
        """
        given = {"tenant": projected.tenant, "run_id": projected.run.id}
        seen: set[bytes] = set()
        # Convert to JSON and back, so that live and rebuilt rows have the same values however they are written.
        for row in orjson.loads(orjson.dumps(list(self._model.rows(projected)))):
            if row.keys() != self._model.columns.keys():
                wrong = sorted(row.keys() ^ self._model.columns.keys())
                raise ValueError(f"a row of {self.name} and its columns differ in {', '.join(wrong)}")
            key = orjson.dumps([row[column] for column in self._model.key])
            if key in seen:
                raise ValueError(f"two rows of {self.name} have the key {key.decode()}")
            seen.add(key)
            yield given | {column: row[column] for column in self._model.columns}

    def attach(self, connection: Connection) -> None:
        """Create indexes and views, and record the table's signature in its comment."""
        connection.execute(_SQL.use_schema)
        if self._model.schema:
            connection.execute(self._model.schema.encode())
        connection.execute(self._sql("comment").encode())

    def make(self, connection: Connection) -> None:
        """Create the table or add missing columns, then create indexes and views."""
        connection.execute(_SQL.use_schema)
        connection.execute(self._sql("create").encode())
        for column, kind in self._model.columns.items():
            add = SQL(_SQL.add_column).format(table=Identifier(self.name), column=Identifier(column), kind=SQL(kind))
            connection.execute(add)
        self.attach(connection)

    @property
    def signature(self) -> str:
        """The version and a digest of columns, key and schema; it identifies the definition of the table."""
        made_from = [list(self._model.columns.items()), self._model.key, self._model.schema]
        return f"{self.version} {sha256(orjson.dumps(made_from)).hexdigest()[:16]}"

    def _sql(self, name: str) -> str:
        def listed(columns: Any) -> Composable:
            return SQL(", ").join(map(Identifier, columns))

        others = [column for column in self._columns if column not in self.key]
        statement = SQL(_SQL[name]).format(
            table=Identifier(self.name),
            columns=listed(self._columns),
            key=listed(self.key),
            definitions=SQL(", ").join(
                SQL("{} {}").format(Identifier(column), SQL(kind)) for column, kind in self._columns.items()
            ),
            changes=SQL(", ").join(SQL("{0} = excluded.{0}").format(Identifier(column)) for column in others),
            comment=Literal(f"read model {self.signature}"),
        )
        return statement.as_string()
