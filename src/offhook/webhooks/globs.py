"""Which event types an endpoint listens to: `call.ended`, `lead.*`, `*`."""

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase

from offhook.errors import Fault
from offhook.events.globs import fault


def matches(globs: Sequence[str], event_type: str) -> bool:
    """Whether one of the globs is for this type. `*` stands for any characters."""
    return any(fnmatchcase(event_type, glob) for glob in globs)


def faults(globs: Sequence[str], types: Collection[str]) -> list[Fault]:
    """One fault for each glob that no event type answers to, naming the types it was probably meant for."""
    found = [fault(glob, f"events.{n}", types) for n, glob in enumerate(globs)]
    return [one for one in found if one is not None]
