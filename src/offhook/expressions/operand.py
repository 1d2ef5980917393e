"""What filters are asked about, read once for as many of them as there are."""

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import orjson

from offhook.expressions.price import Dimensions
from offhook.expressions.runtime import Binding

LARGEST_BYTES = 262_144
"""An event beyond it is not brought into the library's form, which costs 20 ns and more for each byte."""

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # the library ends a text there, so that 'a\0b' would be 'a'


class Operand:
    """An event as JSON. It is read when a filter first asks, which costs far more than the asking: keep it for the next one.

    Times, UUIDs and enumerations become the texts that JSON has for them.
    """

    def __init__(self, event: Mapping[str, Any]) -> None:
        try:
            self._json = orjson.dumps(dict(event))
        except orjson.JSONEncodeError:
            self._json = b""

    @cached_property
    def readable(self) -> bool:
        """Whether an expression can be asked about it."""
        return bool(self._json) and not _NUL.search(self._json)

    @property
    def too_large(self) -> bool:
        return len(self._json) > LARGEST_BYTES

    @property
    def at_most(self) -> Dimensions:
        """Its dimensions, roughly and at no cost."""
        return Dimensions(len(self._json), self._json.count(b",") + 1, len(self._json))

    @cached_property
    def dimensions(self) -> Dimensions:
        """Its dimensions, measured."""
        longest_list, longest_text = _longest(self._plain)
        return Dimensions(len(self._json), longest_list, longest_text)

    @cached_property
    def bound(self) -> Binding:
        return Binding(self._plain)

    @cached_property
    def bound_without_nulls(self) -> Binding | None:
        """The same without what is null; nothing if nothing is."""
        return Binding(_without_nulls(self._plain)) if b"null" in self._json else None

    @cached_property
    def _plain(self) -> dict[str, Any]:
        plain: dict[str, Any] = orjson.loads(self._json)
        return plain


def _longest(value: Any) -> tuple[int, int]:
    if isinstance(value, str):
        return 0, 4 * len(value)  # bytes at most
    if not isinstance(value, list | dict):
        return 0, 0
    inner = [_longest(part) for part in (value if isinstance(value, list) else (*value, *value.values()))]
    return max([len(value), *(lists for lists, _ in inner)]), max([0, *(texts for _, texts in inner)])


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(part) for key, part in value.items() if part is not None}
    if isinstance(value, list):
        return [_without_nulls(part) for part in value if part is not None]
    return value
