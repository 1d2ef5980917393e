"""Which event types an endpoint listens to: `call.ended`, `lead.*`, `*`."""

import difflib
import re
from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase

from offhook.errors import Fault

_GLOB = re.compile(r"[a-z_.*]{1,100}")


def matches(globs: Sequence[str], event_type: str) -> bool:
    """Whether one of the globs is for this type. `*` stands for any characters."""
    return any(fnmatchcase(event_type, glob) for glob in globs)


def faults(globs: Sequence[str], types: Collection[str]) -> list[Fault]:
    """One fault for each glob that no event type answers to, naming the types it was probably meant for."""
    return [
        Fault(f"events.{n}", "unknown_event_type", _advice(glob, types))
        for n, glob in enumerate(globs)
        if not (_GLOB.fullmatch(glob) and any(fnmatchcase(known, glob) for known in types))
    ]


def _advice(glob: str, types: Collection[str]) -> str:
    near = difflib.get_close_matches(glob.replace("*", ""), sorted(types), n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else "GET /v1/event-types lists them."
    return f"No event type answers to this. {hint}"
