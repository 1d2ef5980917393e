"""Globs of event types: `call.ended`, `lead.*`, `*`. `*` stands for any characters, and nothing else for anything else."""

import difflib
import re
from collections.abc import Collection
from fnmatch import fnmatchcase

from offhook.errors import Fault

_GLOB = re.compile(r"[a-z_.*]{1,100}")


def like(glob: str) -> str:
    """The pattern of SQL's LIKE for a glob."""
    escaped = glob.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%")


def fault(glob: str, param: str, types: Collection[str]) -> Fault | None:
    """What is wrong with a glob that none of these types answers to, naming those that were probably meant; else None."""
    if _GLOB.fullmatch(glob) and any(fnmatchcase(known, glob) for known in types):
        return None
    near = difflib.get_close_matches(glob.replace("*", ""), sorted(types), n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else "GET /v1/event-types lists them."
    return Fault(param, "unknown_event_type", f"No event type answers to this. {hint}")
