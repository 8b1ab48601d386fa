"""Numbers and arrays in the binary format of Postgres, encoded in one pass.

psycopg's own dumper of lists inspects every element to find its type; here the type is known. The format is that of
`array_send`: number of dimensions, null flag, element type, length and lower bound, then each element preceded by its
length.
"""

import struct
from collections.abc import Sequence
from uuid import UUID

from psycopg import adapters

_HEAD = struct.Struct(">iiIii")
_LENGTH = struct.Struct(">i")
_NUMBER = struct.Struct(">q")
_UUID, _BIGINT, _TEXT, _BYTEA = (adapters.types[name].oid for name in ("uuid", "int8", "text", "bytea"))


def bigint(value: int) -> bytes:
    """Encode a `bigint`; raises struct.error for a number that needs more than 64 bits."""
    return _NUMBER.pack(value)


def integer(value: int) -> bytes:
    """Encode an `integer`; raises struct.error for a number that needs more than 32 bits."""
    return struct.pack(">i", value)


def double(value: float) -> bytes:
    """Encode a `double precision`."""
    return struct.pack(">d", value)


def to_bigint(value: bytes | None) -> int:
    """Decode a `bigint` of a result."""
    number: int = _NUMBER.unpack(value or b"")[0]
    return number


def uuid_array(values: Sequence[UUID | str]) -> bytes:
    """Encode a `uuid[]`."""
    return _array(_UUID, [(value if isinstance(value, UUID) else UUID(value)).bytes for value in values])


def bigint_array(values: Sequence[int]) -> bytes:
    """Encode a `bigint[]`; raises struct.error for a number that needs more than 64 bits."""
    return _array(_BIGINT, [_NUMBER.pack(value) for value in values])


def text_array(values: Sequence[str]) -> bytes:
    """Encode a `text[]`."""
    return _array(_TEXT, [value.encode() for value in values])


def bytea_array(values: Sequence[bytes]) -> bytes:
    """Encode a `bytea[]`."""
    return _array(_BYTEA, values)


def _array(element_oid: int, values: Sequence[bytes]) -> bytes:
    parts = [_HEAD.pack(1, 0, element_oid, len(values), 1)]
    for value in values:
        parts += (_LENGTH.pack(len(value)), value)
    return b"".join(parts)
