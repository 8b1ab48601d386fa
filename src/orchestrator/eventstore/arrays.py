"""Typed arrays in Postgres's binary form, built in one go and sent as they are.

psycopg's own dumper of lists looks at every element to find out what it is; here that is known. The form is that of
`array_send`: dimensions, whether there are nulls, the element's type, length and lower bound, then each element
with its length before it.
"""

import struct
from collections.abc import Sequence
from typing import ClassVar
from uuid import UUID

from psycopg import adapters
from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper
from psycopg.pq import Format

_HEAD = struct.Struct(">iiIii")
_LENGTH = struct.Struct(">i")
_NUMBER = struct.Struct(">q")


class TypedArray(bytes):
    """An array ready to be sent; each type of elements has a class of its own, so that psycopg knows it."""

    type_name: ClassVar[str]

    @classmethod
    def build(cls, values: Sequence[bytes]) -> "TypedArray":
        """Return an array of elements that are in binary form already."""
        parts = [_HEAD.pack(1, 0, adapters.types[cls.type_name].oid, len(values), 1)]
        for value in values:
            parts += (_LENGTH.pack(len(value)), value)
        return cls(b"".join(parts))


class _Uuids(TypedArray):
    type_name = "uuid"


class _Bigints(TypedArray):
    type_name = "int8"


class _Texts(TypedArray):
    type_name = "text"


class _Byteas(TypedArray):
    type_name = "bytea"


def uuid_array(values: Sequence[UUID | str]) -> TypedArray:
    """Return a `uuid[]`."""
    return _Uuids.build([(value if isinstance(value, UUID) else UUID(value)).bytes for value in values])


def bigint_array(values: Sequence[int]) -> TypedArray:
    """Return a `bigint[]`; raises struct.error for a number that needs more than 64 bits."""
    return _Bigints.build([_NUMBER.pack(value) for value in values])


def text_array(values: Sequence[str]) -> TypedArray:
    """Return a `text[]`."""
    return _Texts.build([value.encode() for value in values])


def bytea_array(values: Sequence[bytes]) -> TypedArray:
    """Return a `bytea[]`."""
    return _Byteas.build(values)


class _AsItIs(Dumper):
    format = Format.BINARY

    def dump(self, obj: bytes) -> bytes:
        """Return the bytes to send."""
        return obj


def register_arrays(context: AdaptContext) -> None:
    """Teach a connection to send typed arrays."""
    for kind in (_Uuids, _Bigints, _Texts, _Byteas):
        dumper = type(f"{kind.__name__}Dumper", (_AsItIs,), {"oid": adapters.types[kind.type_name].array_oid})
        if context.adapters is not None:
            context.adapters.register_dumper(kind, dumper)
