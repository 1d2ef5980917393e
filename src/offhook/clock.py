"""How an instant is written. Where time comes from is `Tx.now` and `Tx.wall`; nothing here asks a clock."""

from datetime import UTC, datetime


def show(at: datetime) -> str:
    """RFC 3339 in UTC with milliseconds: `2026-11-21T17:03:22.481Z`."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def show_or_null(at: datetime | None) -> str | None:
    return None if at is None else show(at)
