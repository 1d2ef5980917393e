"""The job of a replay or a cancellation: one page in one transaction, then the job waits as long as the rate asks.

The page, the position behind it and what is counted are written together under the lock of the replay's row, by which
`pause` and `cancel` wait for the page that is under way. A job that is run twice goes on, and does nothing twice.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from offhook.db import Database, Tx, Wakeups
from offhook.errors import OffhookError, is_away
from offhook.jobs import Job
from offhook.jobs.outcome import Done, GiveUp, Outcome, RetryAt
from offhook.webhooks import held_store, outcome_store, replay_match_store, replay_store
from offhook.webhooks.deliveries import Deliveries
from offhook.webhooks.replay import Page, Position, Replay
from offhook.webhooks.replay_match_store import Looked
from offhook.webhooks.replay_missing import EndpointGone, Missing

LOOK = 2000
"""How many deliveries one page looks at, at most."""
TRIES = 5
"""How often in a row a page may fail before the replay has failed and waits for somebody to resume it."""
_LOOK_AGAIN = timedelta(milliseconds=200)


class Pages:
    """Works replays off."""

    def __init__(self, database: Database, deliveries: Deliveries, missing: Missing, wakeups: Wakeups) -> None:
        self._database = database
        self._deliveries = deliveries
        self._missing = missing
        self._wakeups = wakeups

    async def run(self, job: Job) -> Outcome:
        """The next page. Safe to run again, and at the same time elsewhere."""
        id = UUID(job.args["replay"])
        try:
            async with self._database.transaction(job.tenant, reading=True) as tx:
                return await self._turn(tx, id)
        except Exception as failure:
            if is_away(failure) or job.failures + 1 < TRIES:
                raise
            return await self._give_up(job, id, failure.code if isinstance(failure, OffhookError) else "unexpected")

    async def _turn(self, tx: Tx, id: UUID) -> Outcome:
        replay = await replay_store.find(tx, id, lock=True)
        if replay is None or not replay.is_to_run:
            return Done()
        if replay.next_at and tx.now < replay.next_at:
            return RetryAt(replay.next_at, "rate")
        if replay.missing and not await replay_store.all_is_seen(tx, id):
            return RetryAt(tx.now + _LOOK_AGAIN, "not_all_is_seen")
        if replay.filter.status == "discarded" and await held_store.given_up(tx, tx.tenant):
            return RetryAt(tx.now + _LOOK_AGAIN, "not_all_is_discarded")
        try:
            after = replay.after(await self._page(tx, replay), tx.now)
        except EndpointGone:
            after = replay.failed("endpoint_gone", tx.now)
        if not after.is_to_run:
            after = await told(tx, self._deliveries, after)
        await replay_store.save(tx, after)
        return RetryAt(after.next_at, "next_page") if after.next_at else Done()

    async def _page(self, tx: Tx, replay: Replay) -> Page:
        if replay.missing:
            return await self._missing_page(tx, replay)
        looked = await replay_match_store.look(tx, replay, LOOK)
        fits = [row for row in looked if row.fits]
        taken = fits[: replay.page_size]
        whole = len(taken) == len(fits)
        last = looked[-1] if whole and looked else taken[-1] if taken else None
        page = Page(last.position if last else replay.position, {}, {}, more=not whole or len(looked) == LOOK)
        if not taken:
            return page
        if replay.verb == "replay":
            return await self._replay(tx, page, taken)
        if replay.filter.of_the_dead:
            discarded = await replay_match_store.discard(tx, [row.id for row in taken])
            return replace(page, opened=Counter(discarded.values()), passed_over=_changed(taken, discarded))
        return await self._cancel(tx, replay, page, looked, taken)

    async def _replay(self, tx: Tx, page: Page, taken: Sequence[Looked]) -> Page:
        opened = await self._deliveries.open_again(tx, [(row.written_at, row.id) for row in taken])
        passed_over: Counter[str] = Counter()
        if left := [row.endpoint for row in taken if row.id not in opened]:
            there = await replay_match_store.living(tx, left)
            passed_over.update("open" if endpoint in there else "endpoint_gone" for endpoint in left)
        return replace(page, opened=Counter(opened.values()), passed_over=passed_over)

    async def _cancel(
        self, tx: Tx, replay: Replay, page: Page, looked: Sequence[Looked], taken: Sequence[Looked]
    ) -> Page:
        statuses = replay.filter.statuses
        cancelled = await replay_match_store.cancel(tx, [row.id for row in taken], statuses)
        if cancelled.ordered:
            await outcome_store.let_follow(tx, cancelled.ordered)
            tx.on_commit(lambda: self._wakeups.send("due"))
        left = [row.id for row in taken if row.id not in cancelled.endpoints]
        locked = await replay_match_store.still_open(tx, left, statuses) if left else set()
        page = replace(
            page,
            opened=Counter(cancelled.endpoints.values()),
            passed_over=_changed(taken, cancelled.endpoints.keys() | locked),
        )
        if not locked:
            return page
        # Somebody writes a result of theirs at this moment; if they are open afterwards, they are cancelled then.
        return replace(page, position=_before(replay.position, looked, locked), more=True, busy=True)

    async def _missing_page(self, tx: Tx, replay: Replay) -> Page:
        found = await self._missing.find(tx, replay, replay.page_size)
        opened: Mapping[UUID, UUID] = {}
        if found.missed:
            opened = await self._deliveries.open_again(tx, await self._missing.write(tx, found.endpoint, found.missed))
        passed_over = {"erased": found.erased} if found.erased else {}
        return Page(found.position, Counter(opened.values()), passed_over, more=found.more)

    async def _give_up(self, job: Job, id: UUID, error: str) -> Outcome:
        async with self._database.transaction(job.tenant) as tx:
            replay = await replay_store.find(tx, id, lock=True)
            if replay is not None and replay.is_to_run:
                await replay_store.save(tx, await told(tx, self._deliveries, replay.failed(error, tx.now)))
        return GiveUp(error)


async def told(tx: Tx, deliveries: Deliveries, replay: Replay) -> Replay:
    """The replay, once an event for each endpoint has told what was done since the last ones. To be saved with them."""
    if replay.verb == "replay":
        await deliveries.tell(tx, replay.untold, replay.actor)
    return replace(replay, untold={})


def _changed(taken: Sequence[Looked], handled: Collection[UUID]) -> dict[str, int]:
    """How many changed between the look and the deed."""
    changed = sum(row.id not in handled for row in taken)
    return {"changed": changed} if changed else {}


def _before(start: Position, looked: Sequence[Looked], stops: Collection[UUID]) -> Position:
    """The position behind everything before the first of these."""
    position = start
    for row in looked:
        if row.id in stops:
            break
        position = row.position
    return position
