"""What tries come to, added up in memory as the recorder writes them, and written once a second.

Figures of each endpoint by the minute and the hour, and failures by cause, which are the delivery issues. These are
figures, not promises: a process that is killed loses up to a second of them, and what was written while the answer got
lost is counted twice. The tries are the record. Tests are no deliveries, and count in neither.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from offhook import ids
from offhook.db import Database, Tenant
from offhook.errors import Unavailable
from offhook.log import get, place_of
from offhook.webhooks import aggregates_store, counts, histogram, issue_store
from offhook.webhooks.aggregates_store import Grain, Row
from offhook.webhooks.histogram import Counts
from offhook.webhooks.issue_store import Failures
from offhook.webhooks.parcel import Dead, Result, Try
from offhook.webhooks.schedule import Delivered

WRITTEN_EVERY_S = 1.0
_MS_OF_ID = 80


@dataclass(slots=True)
class Tally:
    """What the tries of one endpoint came to in one minute or hour."""

    tenant: Tenant
    tries: int = 0
    delivered: int = 0
    failed: int = 0
    dead: int = 0
    total: Counts = field(default_factory=list)
    propagation: Counts = field(default_factory=list)

    def count(self, result: Result, tried: Try) -> None:
        """Count this try in."""
        self.tries += 1
        self.delivered += isinstance(result.outcome, Delivered)
        self.failed += not tried.succeeded
        self.dead += isinstance(result.outcome, Dead)
        if not (total := tried.timing_ms[-1]):
            return  # nothing was sent
        histogram.count(self.total, total)
        parcel = result.parcel
        if parcel.tries == 0 and not parcel.replay:
            histogram.count(self.propagation, propagation_ms(parcel.message.id, tried.written_at))

    def add(self, other: "Tally") -> None:
        self.tries += other.tries
        self.delivered += other.delivered
        self.failed += other.failed
        self.dead += other.dead
        histogram.add(self.total, other.total)
        histogram.add(self.propagation, other.propagation)


class Minute(NamedTuple):
    """Whose figures, and of when."""

    endpoint: UUID
    at: datetime


class Cause(NamedTuple):
    """Where it fails, and why."""

    endpoint: UUID
    code: str


def propagation_ms(event: UUID, sent_at: datetime) -> float:
    """From an event to its request, by the millisecond in the event's id.

    An event is made in its transaction, which is committed at once, so this is the time from the commit and, where the
    transaction was long, somewhat more. Two machines whose clocks differ differ in this as well; it is never negative.
    """
    return max(sent_at.timestamp() * 1000 - (event.int >> _MS_OF_ID), 0.0)


class Aggregates:
    """Adds up what this process has recorded."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._id = ids.new()
        self._tallies: dict[Minute, Tally] = {}
        self._failures: dict[Cause, Failures] = {}
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def observe(self, results: Iterable[Result]) -> None:
        """Count these, which are recorded, and have them written within a second. Returns at once, raises nothing."""
        minute = datetime.now(UTC).replace(second=0, microsecond=0)
        for result in results:
            if (tried := result.tried) is None or result.parcel.test:
                continue
            key = Minute(result.parcel.endpoint, minute)
            if (tally := self._tallies.get(key)) is None:
                tally = self._tallies[key] = Tally(result.parcel.tenant)
            tally.count(result, tried)
            counts.request(tried)
            if tried.error_code is not None:
                self._fail(_failure(result, tried, tried.error_code))
        if self._pending and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._write_on())

    async def flush(self) -> None:
        """Write what is not yet written. When the database is away it is kept, and written later."""
        async with self._writing:
            tallies, self._tallies = self._tallies, {}
            if tallies and not await self._written("figures", rows=_rows(tallies)):
                self._put_back(tallies)
            failures, self._failures = self._failures, {}
            if failures and not await self._written("issues", failures=[failures[key] for key in sorted(failures)]):
                for one in failures.values():
                    self._fail(one)

    async def close(self) -> None:
        """Write the rest, now. What the database does not take is lost."""
        self._closing.set()
        if self._task:
            await self._task
        await self.flush()

    @property
    def _pending(self) -> bool:
        return bool(self._tallies or self._failures)

    async def _write_on(self) -> None:
        while self._pending and not self._closing.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(WRITTEN_EVERY_S):
                    await self._closing.wait()
            await self.flush()

    async def _written(self, what: str, *, rows: Sequence[Row] = (), failures: Sequence[Failures] = ()) -> bool:
        """Whether that is over: written, or such that it never will be. False when the database is away."""
        try:
            async with self._database.engine_each() as tx:
                if rows:
                    await aggregates_store.add(tx, self._id, rows)
                if failures:
                    await issue_store.add(tx, failures)
        except Unavailable:
            return False
        except Exception as failure:
            get("webhooks").error("figures_lost", what=what, error=type(failure).__name__, at=place_of(failure))
        return True

    def _put_back(self, tallies: dict[Minute, Tally]) -> None:
        for key, tally in tallies.items():
            if (since := self._tallies.get(key)) is not None:
                tally.add(since)
            self._tallies[key] = tally

    def _fail(self, one: Failures) -> None:
        key = Cause(one.endpoint, one.cause)
        before = self._failures.get(key)
        self._failures[key] = one if before is None else _joined(before, one)


def _failure(result: Result, tried: Try, cause: str) -> Failures:
    parcel = result.parcel
    dead = int(isinstance(result.outcome, Dead))
    first = int(parcel.tries == 0)
    return Failures(parcel.tenant, parcel.endpoint, cause, 1, first, dead, parcel.delivery, tried.at, tried.at)


def _joined(one: Failures, more: Failures) -> Failures:
    latest = max(one, more, key=lambda failures: failures.last_at)
    return latest._replace(
        times=one.times + more.times,
        first_tries=one.first_tries + more.first_tries,
        dead=one.dead + more.dead,
        first_at=min(one.first_at, more.first_at),
    )


def _rows(tallies: dict[Minute, Tally]) -> list[Row]:
    """The minutes, and the hours that they make, sorted by key."""
    hours: dict[Minute, Tally] = {}
    for (endpoint, at), tally in tallies.items():
        hour = Minute(endpoint, at.replace(minute=0))
        if hour in hours:
            hours[hour].add(tally)
        else:
            hours[hour] = replace(tally, total=[*tally.total], propagation=[*tally.propagation])
    rows = [_row("minute", key, tally) for key, tally in tallies.items()]
    rows += [_row("hour", key, tally) for key, tally in hours.items()]
    return sorted(rows, key=lambda row: (row.endpoint, row.grain, row.at))


def _row(grain: Grain, key: Minute, tally: Tally) -> Row:
    figures = (tally.tries, tally.delivered, tally.failed, tally.dead, tally.total, tally.propagation)
    return Row(tally.tenant, key.endpoint, grain, key.at, *figures)
