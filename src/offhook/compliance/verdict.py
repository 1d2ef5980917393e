"""The verdict: what the law answers, everywhere in the house. A code is stable; a rule names what to read up."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Allowed:
    """Now is legal. `rules` are all that were asked and agreed."""

    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now. `until` (UTC) is the earliest instant at which every rule agrees; `rule` is the strictest that bars."""

    until: datetime
    rule: str
    code: str


@dataclass(frozen=True, slots=True)
class Never:
    """Not now, and nothing that is known says when."""

    rule: str
    code: str


Verdict = Allowed | Wait | Never
