"""What an endpoint sees of single places in an event. Pure but for the key that hashes.

`last4` is how numbers are told to whoever says nothing; `full` shows what the envelope masks, `hash` a keyed hash by
which the same value is known again, `absent` nothing at all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from offhook.events.envelope import Hidden

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
        """Mask this event in place; what is masked afterwards stands in its `redactions`."""
        redactions = set(event["redactions"])
        for place, mask in self.places:
            parent, _, name = place.rpartition(".")
            inside = event if not parent else _inside(event, parent)
            if inside is None or inside.get(name) is None:
                continue
            clear = hidden.get(place)
            if mask == "full":
                if clear is not None:
                    inside[name] = clear
                    redactions.discard(place)
                continue
            inside[name] = _masked(mask, inside[name] if clear is None else clear, hashed)
            redactions.add(place)
            if inside[name] is None:
                del inside[name]
        event["redactions"] = sorted(redactions)


def unmasked(event: dict[str, Any], hidden: Hidden) -> dict[str, Any]:
    """The event with everything it hides, in place: what filters see."""
    for place, clear in hidden.items():
        parent, _, name = place.rpartition(".")
        inside = _inside(event, parent)
        if inside is not None and name in inside:
            inside[name] = clear
    return event


def _masked(mask: Mask, value: Any, hashed: Hash) -> str | None:
    """What stands in its place; None when it is taken out, as is what has no last four characters to show."""
    if mask == "hash":
        return hashed(value if isinstance(value, str) else str(value))
    if mask == "last4" and isinstance(value, str):
        return f"***{value[-4:]}" if len(value) > 4 else "***"
    return None


def _inside(event: dict[str, Any], path: str) -> dict[str, Any] | None:
    found: Any = event
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else None
