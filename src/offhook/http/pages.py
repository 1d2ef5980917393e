"""Lists in pages: a limit and an opaque cursor that stays true while others write.

A cursor holds the sort key of the last item told, never a count, so an insert before it shifts nothing.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

import orjson
from fastapi import Query

from offhook.errors import Fault, Invalid

MOST = 1000
Item = TypeVar("Item")
Key = int | str | datetime | UUID


@dataclass(frozen=True, slots=True)
class Page:
    """What part of a list is asked for: up to `limit` items after the cursor."""

    limit: int = 50
    after: str | None = None

    @property
    def most(self) -> int:
        """How many rows to fetch: one more than are told, to know whether there are more."""
        return self.limit + 1

    def start(self, *kinds: type[Key]) -> tuple[Any, ...] | None:
        """The sort key after which the page begins, of these kinds; None at the beginning.

        Raises Invalid `bad_cursor` when the cursor was not made by a list that sorts by these kinds.
        """
        if self.after is None:
            return None
        try:
            found = orjson.loads(base64.urlsafe_b64decode(self.after.encode("ascii") + b"=="))
            return tuple(_read(kind, value) for kind, value in zip(kinds, found, strict=True))
        except (ValueError, TypeError, AttributeError, OverflowError):
            detail = "This cursor is not from this list; begin without one, or send next_cursor unchanged."
            raise Invalid([Fault("after", "bad_cursor", detail)]) from None


async def page(
    limit: Annotated[int, Query(ge=1, le=MOST, description="How many items at most.")] = 50,
    after: Annotated[str | None, Query(max_length=500, description="`next_cursor` of the page before.")] = None,
) -> Page:
    """The FastAPI dependency: `page: Annotated[Page, Depends(page)]`."""
    return Page(limit, after)


def listed(
    items: Sequence[Item],
    page: Page,
    cursor_of: Callable[[Item], Sequence[Key]],
    shown: Callable[[Item], Any] = lambda item: item,
) -> dict[str, Any]:
    """The answer of a list. `items` are up to `page.most` in sort order; `cursor_of` gives the sort key of one."""
    told = items[: page.limit]
    has_more = len(items) > page.limit
    return {
        "object": "list",
        "data": [shown(item) for item in told],
        "has_more": has_more,
        "next_cursor": cursor(cursor_of(told[-1])) if has_more else None,
    }


def cursor(key: Sequence[Key]) -> str:
    """The opaque form of a sort key, which `Page.start` reads."""
    return base64.urlsafe_b64encode(orjson.dumps([_write(part) for part in key])).rstrip(b"=").decode()


def _write(part: Key) -> int | str:
    match part:
        case datetime():
            return part.astimezone(UTC).isoformat()
        case UUID():
            return part.hex
    return part


def _read(kind: type[Key], value: Any) -> Key:
    if kind is datetime:
        at = datetime.fromisoformat(value)
        if at.tzinfo is None:
            raise ValueError
        return at
    if kind is UUID:
        return UUID(hex=value)
    if type(value) is not kind or (isinstance(value, str) and "\0" in value):
        raise ValueError
    found: Key = value
    return found
