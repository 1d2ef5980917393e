"""How an instant is written, and how long something took. Where time comes from is `Tx.now` and `Tx.wall`; nothing here asks a clock."""

from datetime import UTC, datetime
from functools import lru_cache


def show(at: datetime) -> str:
    """RFC 3339 in UTC with milliseconds: `2026-11-21T17:03:22.481Z`."""
    # Brought to UTC before it is looked up: elsewhere the two hours of one night in autumn are equal, but not the same.
    return _shown(at.astimezone(UTC))


@lru_cache(maxsize=1024)
def _shown(at: datetime) -> str:
    """One instant stands in everything that a transaction writes and answers."""
    return at.isoformat(timespec="milliseconds")[:-6] + "Z"


def show_ms(ms: float | None) -> float | None:
    """How long something took, to the microsecond; None where nobody knows."""
    return None if ms is None else round(ms, 3)


def show_or_null(at: datetime | None) -> str | None:
    return None if at is None else show(at)
