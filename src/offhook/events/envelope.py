"""The bytes of an event as the log keeps them: the envelope that all may see, and behind it what it hides.

The envelope is one line. Where it masks something, a second line follows, with each masked place and its value in
clear. Both are sealed as one, so what is hidden costs no seal of its own, and dies with the person's key.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

_BREAK = b"\n"  # JSON as it is written here holds none

Hidden = Mapping[str, str | None]
"""Each masked place of an envelope, as `call.caller_id`, and what stands there in clear."""


class Unpacked(NamedTuple):
    """An event's bytes, parted."""

    envelope: bytes
    hidden: Hidden


def pack(envelope: bytes, hidden: Hidden) -> bytes:
    """The envelope, with what it hides behind it."""
    return envelope + _BREAK + orjson.dumps(hidden) if hidden else envelope


def unpack(stored: bytes) -> Unpacked:
    """What `pack` packed."""
    envelope, found, hidden = stored.partition(_BREAK)
    return Unpacked(envelope, orjson.loads(hidden) if found else {})


def revealed(envelope: bytes, hidden: Hidden) -> dict[str, Any]:
    """The event with what it hides in its place: what filters ask about."""
    event: dict[str, Any] = orjson.loads(envelope)
    for place, clear in hidden.items():
        if (found := holder(event, place)) is not None:
            found[place.rpartition(".")[2]] = clear
    return event


def holder(event: dict[str, Any], place: str) -> dict[str, Any] | None:
    """The object in an event that has the last name of a place like `call.caller_id`; None where there is no such place."""
    *path, name = place.split(".")
    found: Any = event
    for step in path:
        found = found.get(step) if isinstance(found, dict) else None
    return found if isinstance(found, dict) and name in found else None


def envelope_of(stored: bytes) -> bytes:
    """The envelope alone."""
    return stored.partition(_BREAK)[0]
