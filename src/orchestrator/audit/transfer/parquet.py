"""Exports as Parquet: one row per event, and the end record in the file's metadata. The only user of `pyarrow`.

    position bigint, stream_id text, version bigint, name text, state binary (the bytes as stored)

No column duplicates the contents of the state, because the chain would not cover it.
"""

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO
from uuid import UUID

import orjson

from orchestrator.audit.chain import Tally
from orchestrator.audit.transfer.end import DamagedExport, ExportEnd, end_from_json, end_of, end_to_json
from orchestrator.eventstore.recorder import EventRow

_END = b"orchestrator.end"
_COLUMNS = ("position", "stream_id", "version", "name", "state")
_MAX_ROWS = 20_000
_MAX_BYTES = 16 << 20


class ParquetMissing(Exception):
    """The package that reads and writes Parquet, pyarrow, is not installed."""


def write(rows: Iterable[EventRow], tally: Tally, file: BinaryIO) -> None:
    """Write events and the end record; raises ParquetMissing.

    The caller's iterator must have counted each event in the tally.
    """
    arrow, parquet = _arrow()
    schema = arrow.schema(
        [
            arrow.field("position", arrow.int64(), nullable=False),
            arrow.field("stream_id", arrow.string(), nullable=False),
            arrow.field("version", arrow.int64(), nullable=False),
            arrow.field("name", arrow.string(), nullable=False),
            arrow.field("state", arrow.binary(), nullable=False),
        ]
    )
    with parquet.ParquetWriter(file, schema, compression="zstd", use_dictionary=["name", "stream_id"]) as writer:
        for group in _groups(rows):
            columns = zip(*((row[4], str(row[0]), row[1], row[2], row[3]) for row in group), strict=True)
            arrays = [arrow.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
            writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))
        writer.add_key_value_metadata({_END: orjson.dumps(end_to_json(end_of(tally)))})


def _groups(rows: Iterable[EventRow]) -> Iterator[list[EventRow]]:
    """Yield rows in groups of bounded size."""
    group: list[EventRow] = []
    size = 0
    for row in rows:
        group.append(row)
        size += len(row[3])
        if len(group) >= _MAX_ROWS or size >= _MAX_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def read(file: BinaryIO) -> Iterator[EventRow | ExportEnd]:
    """Yield the events and the end record.

    Raises:
        DamagedExport: the file is not a Parquet export.
        ParquetMissing: the package for Parquet is not installed.
    """
    arrow, parquet = _arrow()
    try:
        opened = parquet.ParquetFile(file, pre_buffer=False)
        for number in range(opened.num_row_groups):
            group = opened.read_row_group(number, columns=list(_COLUMNS))
            columns = [group.column(name).to_pylist() for name in _COLUMNS]
            for position, stream, version, name, state in zip(*columns, strict=True):
                yield UUID(stream), version, name, state, position
        yield end_from_json(orjson.loads(opened.metadata.metadata[_END]))
    except (arrow.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedExport(f"not a Parquet export ({error})") from error


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - needs the extra `parquet`
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise ParquetMissing("Parquet needs pyarrow; install it with: pip install 'orchestrator[parquet]'") from error
    return pa, parquet
