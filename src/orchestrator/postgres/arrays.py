"""Numbers and arrays in Postgres's binary form, built in one go and sent as they are.

psycopg's own dumper of lists looks at every element to find out what it is; here that is known. The form is that of
`array_send`: dimensions, whether there are nulls, the element's type, length and lower bound, then each element
with its length before it.
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
    """Return a `bigint`; raises struct.error for a number that needs more than 64 bits."""
    return _NUMBER.pack(value)


def integer(value: int) -> bytes:
    """Return an `integer`; raises struct.error for a number that needs more than 32 bits."""
    return struct.pack(">i", value)


def double(value: float) -> bytes:
    """Return a `double precision`."""
    return struct.pack(">d", value)


def to_bigint(value: bytes | None) -> int:
    """Return the number that a `bigint` of an answer is."""
    number: int = _NUMBER.unpack(value or b"")[0]
    return number


def uuid_array(values: Sequence[UUID | str]) -> bytes:
    """Return a `uuid[]`."""
    return _array(_UUID, [(value if isinstance(value, UUID) else UUID(value)).bytes for value in values])


def bigint_array(values: Sequence[int]) -> bytes:
    """Return a `bigint[]`; raises struct.error for a number that needs more than 64 bits."""
    return _array(_BIGINT, [_NUMBER.pack(value) for value in values])


def text_array(values: Sequence[str]) -> bytes:
    """Return a `text[]`."""
    return _array(_TEXT, [value.encode() for value in values])


def bytea_array(values: Sequence[bytes]) -> bytes:
    """Return a `bytea[]`."""
    return _array(_BYTEA, values)


def _array(element_oid: int, values: Sequence[bytes]) -> bytes:
    parts = [_HEAD.pack(1, 0, element_oid, len(values), 1)]
    for value in values:
        parts += (_LENGTH.pack(len(value)), value)
    return b"".join(parts)
