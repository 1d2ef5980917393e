"""A replay or a cancellation and how it gets on. Pure: the time comes as an argument.

    queued ──first page──▶ running ──last page──▶ done
       │ ▲                   │ ▲  ╲──tries used up──▶ failed ──resume──▶ running
     pause resume          pause resume           queued, running, paused, failed ──cancel──▶ cancelled
       ▼ │                   ▼ │
      paused                paused

Its row holds the position behind the last page, and both change in the transaction of that page. So whoever goes on with
it, however often it was interrupted, never does the same delivery twice.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from offhook import clock, ids
from offhook.errors import Conflict
from offhook.events import Actor
from offhook.webhooks.replay_filter import Filter, Verb

Status = Literal["queued", "running", "paused", "done", "cancelled", "failed"]
Position = tuple[datetime, UUID]

MOST = 500
"""How many deliveries a page has at most, that its transaction may be short."""
_BUSY = timedelta(milliseconds=200)
_BEFORE_ALL = datetime(2000, 1, 1, tzinfo=UTC)
_ENDED = ("done", "cancelled")


@dataclass(frozen=True, slots=True)
class Page:
    """What one page came to. `opened` counts per endpoint what was done, `passed_over` per reason what was not.

    `busy`: something stood in the way for the moment, and the position lies before it.
    """

    position: Position
    opened: Mapping[UUID, int]
    passed_over: Mapping[str, int]
    more: bool
    busy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Many deliveries to be replayed, or cancelled. `until` is real time: what was recorded later is not touched.

    `position` is the sort key of the last one looked at; `next_at` when the rate allows the next page; `untold` counts
    per endpoint what no event has told yet.
    """

    id: UUID
    verb: Verb
    status: Status
    filter: Filter
    missing: bool
    rate_per_s: int | None
    actor: Actor
    until: datetime
    position: Position
    next_at: datetime | None = None
    total: int
    total_is_exact: bool
    done: int = 0
    opened: int = 0
    passed_over: Mapping[str, int] = field(default_factory=dict)
    untold: Mapping[UUID, int] = field(default_factory=dict)
    error: str | None = None
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    updated_at: datetime

    @property
    def is_to_run(self) -> bool:
        return self.status in ("queued", "running")

    @property
    def page_size(self) -> int:
        """How many one page opens at most: no more than a second's worth."""
        return min(MOST, self.rate_per_s or MOST)

    def after(self, page: Page, now: datetime) -> "Replay":
        """Once this page is done."""
        opened = sum(page.opened.values())
        passed_over = Counter(self.passed_over) + Counter(page.passed_over)
        return replace(
            self,
            status="running" if page.more else "done",
            position=page.position,
            next_at=self._next_at(page, opened, now) if page.more else None,
            done=self.done + opened + sum(page.passed_over.values()),
            opened=self.opened + opened,
            passed_over=dict(passed_over),
            untold=dict(Counter(self.untold) + Counter(page.opened)),
            started_at=self.started_at or now,
            ended_at=None if page.more else now,
            updated_at=now,
        )

    def _next_at(self, page: Page, opened: int, now: datetime) -> datetime:
        gap = timedelta(seconds=opened / self.rate_per_s) if self.rate_per_s else timedelta()
        return now + (max(gap, _BUSY) if page.busy else gap)

    def paused(self, now: datetime) -> "Replay":
        """Idempotent. Raises Conflict when it is over."""
        self._check_open()
        if self.status == "failed":
            raise Conflict("replay_failed", "It has failed, and does nothing already; resume or cancel it.")
        return self if self.status == "paused" else replace(self, status="paused", updated_at=now)

    def resumed(self, now: datetime) -> "Replay":
        """Going on behind its last page. Idempotent. Raises Conflict when it is over."""
        self._check_open()
        if self.is_to_run:
            return self
        return replace(
            self,
            status="running" if self.started_at else "queued",
            error=None,
            ended_at=None,
            updated_at=now,
        )

    def cancelled(self, now: datetime) -> "Replay":
        """What it did stays done. Idempotent. Raises Conflict when it is done."""
        if self.status == "cancelled":
            return self
        self._check_open()
        return replace(self, status="cancelled", ended_at=now, updated_at=now)

    def failed(self, error: str, now: datetime) -> "Replay":
        """It cannot go on by itself; `error` is a stable code."""
        return replace(self, status="failed", error=error, ended_at=now, updated_at=now)

    def _check_open(self) -> None:
        if self.status in _ENDED:
            raise Conflict("replay_ended", f"It is {self.status} already; start another one.")


def beginning(wanted: Filter, *, live: bool) -> Position:
    """The position before all that the filter can mean. Where the clock cannot be moved, it knows where its time begins."""
    if live and wanted.told_from and not wanted.of_the_dead:
        return wanted.told_from, UUID(int=0)
    return _BEFORE_ALL, UUID(int=0)


def end(wanted: Filter, wall: datetime, *, live: bool) -> datetime:
    """Real time after which nothing can be meant."""
    return min(wall, wanted.told_to) if live and wanted.told_to else wall


def shown(replay: Replay) -> dict[str, Any]:
    """The replay, or the cancellation, as the API tells it."""
    what, done = ("replay", "opened") if replay.verb == "replay" else ("cancellation", "discarded")
    return {
        "id": ids.show("rpl" if replay.verb == "replay" else "cnl", replay.id),
        "object": what,
        "status": replay.status,
        "filter": replay.filter.shown(),
        **({"missing": replay.missing} if replay.verb == "replay" else {}),
        "rate_per_s": replay.rate_per_s,
        # More than could be counted in a moment is not to be taken for a number.
        "total": replay.total if replay.total_is_exact else None,
        "total_at_least": replay.total,
        "done": replay.done,
        done: replay.opened,
        "passed_over": dict(replay.passed_over),
        "error": replay.error,
        "actor": {"type": replay.actor.type, "id": replay.actor.id},
        "created_at": clock.show(replay.created_at),
        "started_at": clock.show_or_null(replay.started_at),
        "ended_at": clock.show_or_null(replay.ended_at),
        "updated_at": clock.show(replay.updated_at),
    }
