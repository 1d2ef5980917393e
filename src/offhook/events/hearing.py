"""What somebody who listens should have got, and how a page of it is looked for."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

Asks = Callable[[dict[str, Any]], bool]


@dataclass(frozen=True, slots=True)
class Hearing:
    """What `endpoint` should get: what is for it alone, and of what is for all the types that fit one of the `globs`, but
    nothing about itself, and nothing that `asks` says no to of the clear event.

    `store.HEARD` is the rule, but for `asks`. Without an endpoint, everything.
    """

    endpoint: UUID | None = None
    globs: Sequence[str] = ("*",)
    asks: Asks | None = None


class Look(NamedTuple):
    """Which of the rows a page tells, and how many of them were looked at: the next page begins behind those."""

    told: list[int]
    looked_at: int


def look(fits: Iterable[bool], limit: int) -> Look:
    """The first `limit` rows that fit. Pure; no row is asked about behind the last one that is told."""
    asked = 0

    def found() -> Iterable[int]:
        nonlocal asked
        for fit in fits:
            asked += 1
            if fit:
                yield asked - 1

    told = list(islice(found(), limit))
    return Look(told, asked)
