"""What somebody who listens should have got, and how a page of it is looked for."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

Asks = Callable[[dict[str, Any]], bool]


@dataclass(frozen=True, slots=True)
class Hearing:
    """Events whose types fit one of the `globs`, not about `unheard`, and all that `asks` says yes to of the clear event.

    Without `asks` the type is all.
    """

    globs: Sequence[str] = ("*",)
    unheard: UUID | None = None
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
