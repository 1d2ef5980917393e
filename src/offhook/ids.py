"""Typed, sortable ids: a TypeID outside (`lead_01h…`), its UUIDv7 inside rows.

A row and a variable hold the UUID; only what leaves the house bears the prefix. The ids of calls and deliveries alone
are derived, so that what runs twice cannot make a second one.
"""

from typing import Literal
from uuid import UUID, SafeUUID, uuid5

import uuid_utils
from typeid import TypeID
from typeid.base32 import encode
from typeid.errors import TypeIDException

Prefix = Literal[
    "ws", "key", "lead", "cmp", "cad", "att", "call", "leg", "trf", "tgt", "dec", "evt", "whe", "dlv", "bat", "alr", "pac", "job",
    "psb", "opt", "sup", "rcp", "usr", "req", "inb", "eng", "rpl", "cnl", "iss",
]  # fmt: skip

_CALLS = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
_RANDOM_BITS = (0xFFF << 64) | ((1 << 62) - 1)
"""The bits of a UUIDv7 that are neither its time nor its version and variant."""

_UNSAID = SafeUUID.unknown


class NotAnId(ValueError):
    """The text is not an id of that kind; `str()` of it says which kind was wanted."""


def new() -> UUID:
    """A fresh UUIDv7: sorts by the time it was made."""
    return _uuid(uuid_utils.uuid7().int)


def show(prefix: Prefix, value: UUID) -> str:
    """The id as the world sees it."""
    return f"{prefix}_{encode(value.bytes)}"


def read(prefix: Prefix, text: str) -> UUID:
    """The UUID behind `text`. Raises NotAnId when it is not an id with this prefix."""
    try:
        typed = TypeID.from_string(text)
    except (TypeIDException, ValueError):
        raise NotAnId(f"not an id of the form {prefix}_…") from None
    if typed.prefix != prefix:
        raise NotAnId(f"not an id of the form {prefix}_…")
    return UUID(bytes=typed.uuid.bytes)


def call_of_attempt(attempt: UUID) -> UUID:
    """The one call that this attempt can ever become."""
    return uuid5(_CALLS, attempt.hex)


def call_of_platform(account: UUID, platform_call_id: str) -> UUID:
    """The one call behind an inbound conversation of this provider account."""
    return uuid5(_CALLS, f"{account.hex}:{platform_call_id}")


def delivery_of(event: UUID, endpoint: UUID) -> UUID:
    """The one delivery of this event to this endpoint, the same whoever asks. Sorts by the event's time, as an index likes it.

    One endpoint's deliveries never share an id. Two endpoints' would if their events were of one millisecond and
    differed in the 74 bits behind it exactly as the endpoints do: one such pair in 2**74. What one process makes within
    a millisecond is counted up and has 32 random bits only; where that holds for the endpoints too, one pair in 2**32.
    """
    return _uuid(event.int ^ endpoint.int & _RANDOM_BITS)


def _uuid(number: int) -> UUID:
    """`UUID(int=number)` without its questions about what was given: several ids are made for each event."""
    made = object.__new__(UUID)
    object.__setattr__(made, "int", number)
    object.__setattr__(made, "is_safe", _UNSAID)
    return made
