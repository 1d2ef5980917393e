"""The sweep: no call stays silent for ever, and no human's slot is lost while a call lives.

Each call has one job that looks at it, in batches, with nothing but the database; only a silent one costs a question
to its platform. Whatever the platform says goes the way of all reports.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from offhook.calls import store
from offhook.calls.reports import Reports
from offhook.calls.silence import Ask, Over, look, target_is_silent
from offhook.calls.transfers import Floor
from offhook.db import Tx
from offhook.jobs import Job, enqueue_all
from offhook.jobs.outcome import Done, Outcome, RetryAt
from offhook.providers import CallReport
from offhook.providers.contract import Cause, Kind

HELD_BEYOND = timedelta(seconds=180)
"""How long beyond the next look a living call's slot is held."""


class Sweep:
    """Looks at calls that are open."""

    def __init__(self, reports: Reports, floor: Floor) -> None:
        self._reports = reports
        self._floor = floor

    async def look(self, tx: Tx, due: Sequence[Job]) -> list[Outcome]:
        """Look at the calls of these jobs: ask about the silent, hold the slots of the living, forget the ended."""
        rows = {row.id: row for row in await store.read(tx, [UUID(job.key) for job in due])}
        asking: dict[UUID, bool] = {}
        outcomes: list[Outcome] = []
        for job in due:
            row = rows.get(UUID(job.key))
            outcomes.append(await self._look_at(tx, row, asking) if row else Done())
        if asking:
            items = [(call.hex, {"call": call.hex, "cut": cut}, tx.now) for call, cut in asking.items()]
            await enqueue_all(tx, "calls.ask", [*items])
            self._reports.look_at_jobs(tx)
        return outcomes

    async def _look_at(self, tx: Tx, row: store.Row, asking: dict[UUID, bool]) -> Outcome:
        call = row.call()
        seen = look(call, heard_at=row.updated_at, placing_until=row.placing_until, now=tx.now, wall=tx.wall)
        if isinstance(seen, Over):
            return Done()
        if target_is_silent(call, tx.now):
            cause = Cause(reason="watchdog", party="unknown")
            failed = CallReport(key="", kind=Kind.TARGET_FAILED, cause=cause, source="reconciler")
            await self._reports.apply(tx, {call.id: [failed]})
        await self._floor.hold(tx, call.id, seen.until + HELD_BEYOND)
        if isinstance(seen, Ask):
            asking[call.id] = seen.cut
        return RetryAt(seen.until, type(seen).__name__.lower())
