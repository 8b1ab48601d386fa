"""The table of a custom read model: SQL made from its columns, and rows that are checked before they are written."""

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
    """A custom read model as the projector and rebuilds see it. It can be pickled if its class can be imported."""

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
        """Yield the rows of a run, each with every column in the order of the table.

        Raises:
            ValueError: a row lacks a column or has one too many, or two have the same key.
            TypeError: a value is nothing that JSON knows.
        """
        given = {"tenant": projected.tenant, "run_id": projected.run.id}
        seen: set[bytes] = set()
        # through JSON, so that live and rebuilt rows hold the same values whichever way they are written
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
        """Make indexes and views, and note what the table was made from."""
        connection.execute(_SQL.use_schema)
        if self._model.schema:
            connection.execute(self._model.schema.encode())
        connection.execute(self._sql("comment").encode())

    def make(self, connection: Connection) -> None:
        """Make the table, or add the columns that it lacks, and attach the rest."""
        connection.execute(_SQL.use_schema)
        connection.execute(self._sql("create").encode())
        for column, kind in self._model.columns.items():
            add = SQL(_SQL.add_column).format(table=Identifier(self.name), column=Identifier(column), kind=SQL(kind))
            connection.execute(add)
        self.attach(connection)

    @property
    def signature(self) -> str:
        """What the table was made from: the version, and a digest of columns, key and schema."""
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
