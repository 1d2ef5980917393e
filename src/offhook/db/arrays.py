"""Lists as PostgreSQL's binary arrays, for the element types that our statements bind.

The driver's own dumper finds an element's type, class and dumper anew for every list of every statement: 15 µs for a list
of one, several times what the rest of a short statement costs. A dozen such lists go into one append. Element types that
are not named here, nested lists and lists without a value are left to it.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from struct import Struct, error
from typing import Any
from uuid import UUID

import orjson
import psycopg
from psycopg import adapt, pq
from psycopg.abc import Buffer, DumperKey
from psycopg.adapt import PyFormat
from psycopg.types.array import ListBinaryDumper
from psycopg.types.json import Jsonb

# As array_recv of PostgreSQL's arrayfuncs.c reads it: dimensions, whether there is a null, the element's type; length and
# lower bound; then each element with its length before it, -1 for a null.
_HEAD = Struct("!iiIii").pack
_LENGTH = Struct("!i").pack
_NULL = _LENGTH(-1)
_INT = Struct("!q").pack
_FLOAT = Struct("!d").pack
_BOOLS = {True: b"\x01", False: b"\x00"}
_JSONB = b"\x01"  # the version of its binary form, as jsonb_recv reads it
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def _text(value: str) -> bytes:
    encoded = value.encode()
    return _LENGTH(len(encoded)) + encoded


def _bytea(value: bytes) -> bytes:
    return _LENGTH(len(value)) + value


def _jsonb(value: Jsonb) -> bytes:
    # Of ours alone: no whole number above 64 bits, no key that is not text, no not-a-number is in them.
    encoded = orjson.dumps(value.obj)
    return _LENGTH(len(encoded) + 1) + _JSONB + encoded


def _instant(value: datetime) -> bytes:
    return _INT((value - _EPOCH) // _MICROSECOND)


class _Array(adapt.Dumper):
    """Writes lists of one type of element; it keeps nothing, so one serves all statements.

    Elements of `size` bytes are written without their length, which goes before each as the list is joined; others
    bring their own.
    """

    format = pq.Format.BINARY

    def __init__(self, element_oid: int, array_oid: int, written: Callable[[Any], bytes], size: int | None) -> None:
        super().__init__(list)
        self.oid = array_oid
        self._element_oid = element_oid
        self._written = written
        self._length = b"" if size is None else _LENGTH(size)

    def dump(self, obj: Sequence[Any]) -> Buffer:
        try:
            return self._length.join([self._head(obj, 0), *map(self._written, obj)])
        except (AttributeError, TypeError, KeyError, error):
            each = [_NULL if one is None else self._length + self._written(one) for one in obj]
            return b"".join([self._head(obj, 1), *each])

    def _head(self, obj: Sequence[Any], has_null: int) -> bytes:
        return _HEAD(1, has_null, self._element_oid, len(obj), 1)


# By the type of an element. All integers travel as int8, whatever their size: one type of parameter is one prepared
# statement, and the cast in the statement does the rest.
_ARRAYS: dict[type, _Array] = {
    UUID: _Array(2950, 2951, attrgetter("bytes"), 16),
    str: _Array(25, 1009, _text, None),
    bytes: _Array(17, 1001, _bytea, None),
    int: _Array(20, 1016, _INT, 8),
    float: _Array(701, 1022, _FLOAT, 8),
    bool: _Array(16, 1000, _BOOLS.__getitem__, 1),
    datetime: _Array(1184, 1185, _instant, 8),
    Jsonb: _Array(3802, 3807, _jsonb, None),
}
_KEYS: dict[type, DumperKey] = {kind: (list, kind) for kind in _ARRAYS}


class ListDumper(ListBinaryDumper):
    """Chooses by the first value of a list."""

    def get_key(self, obj: list[Any], format: PyFormat) -> DumperKey:
        return _KEYS.get(_kind(obj)) or super().get_key(obj, format)

    def upgrade(self, obj: list[Any], format: PyFormat) -> Any:
        return _ARRAYS.get(_kind(obj)) or super().upgrade(obj, format)


def _kind(values: list[Any]) -> type:
    for value in values:
        if value is not None:
            return type(value)
    return type(None)


def adapters() -> adapt.AdaptersMap:
    """How connections of ours write what they are given."""
    ours = adapt.AdaptersMap(psycopg.adapters)
    ours.register_dumper(list, ListDumper)
    return ours
