"""What an endpoint sees of single places in an event. Pure but for the key that hashes.

`last4` is how numbers are told to whoever says nothing; `full` shows what the envelope masks, `hash` a keyed hash by
which the same value is known again, `absent` nothing at all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from offhook.events.envelope import Hidden, holder

Mask = Literal["last4", "full", "hash", "absent"]
Hash = Callable[[str], str]
"""A value's keyed hash within its tenant."""


@dataclass(frozen=True, slots=True)
class Masks:
    """Each place that is masked otherwise than usual, in the order of the places."""

    places: tuple[tuple[str, Mask], ...] = ()

    @classmethod
    def of(cls, wanted: Mapping[str, Mask]) -> "Masks":
        return cls(tuple(sorted(wanted.items())))

    def put_on(self, event: dict[str, Any], hidden: Hidden, hashed: Hash) -> None:
        """Mask this event in place; what is masked afterwards stands in its `redactions`.

        A mask goes for the whole of its place. Within one that is shown in full, a mask for a single place goes before
        it; within any other there is nothing left to mask, see `unheard`.
        """
        redactions = set(event["redactions"])
        for place, mask in self.places:
            inside, name = holder(event, place), place.rpartition(".")[2]
            if inside is None:
                continue
            if mask == "full":
                redactions -= _show(event, place, hidden)
                continue
            value = hidden.get(place, inside[name])
            if value is None and mask != "absent":
                continue
            inside[name] = _masked(mask, value, hashed)
            if inside[name] is None:
                del inside[name]
            redactions = {each for each in redactions if not _covers(place, each)} | {place}
        event["redactions"] = sorted(redactions)


def unheard(wanted: Mapping[str, Mask]) -> tuple[str, str] | None:
    """A place, and one within it whose mask would make no difference, though it asks for something else."""
    for outer in sorted(place for place, mask in wanted.items() if mask != "full"):
        for inner in sorted(wanted):
            if inner != outer and _covers(outer, inner) and not wanted[outer] == wanted[inner] == "absent":
                return outer, inner
    return None


def _show(event: dict[str, Any], place: str, hidden: Hidden) -> set[str]:
    """Put what is hidden there in clear; which places those are."""
    shown = {each for each in hidden if _covers(place, each)}
    for each in shown:
        if (inside := holder(event, each)) is not None:
            inside[each.rpartition(".")[2]] = hidden[each]
    return shown


def _covers(place: str, other: str) -> bool:
    return other == place or other.startswith(f"{place}.")


def _masked(mask: Mask, value: Any, hashed: Hash) -> str | None:
    """What stands in its place; None when it is taken out, as is what has no last four characters to show."""
    if mask == "hash":
        return hashed(value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode())
    if mask == "last4" and isinstance(value, str):
        return f"***{value[-4:]}" if len(value) > 4 else "***"
    return None
