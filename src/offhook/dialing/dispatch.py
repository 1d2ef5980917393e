"""The dispatcher: a slot first, then the dial.

One dispatch is one transaction under its campaign's turn: count the room, gate what is due, lease slots, commit the
calls. The platform is asked after the commit, at most once per call; if this process dies in between, the call's sweep
finds a call that no platform knows and ends it.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import LiteralString
from uuid import UUID

from psycopg.errors import DeadlockDetected

from offhook import ids, routing
from offhook.calls import Calls, NewCall
from offhook.compliance import RuleBook
from offhook.db import Database, Tenant, Tx, Wakeups
from offhook.db.races import unraced
from offhook.dialing import attempt_store, store
from offhook.dialing.gate import Barred, Cleared, Gated, Held, gate
from offhook.dialing.store import CampaignRow
from offhook.errors import Unavailable
from offhook.events import ENGINE, Actor, Fact, Log
from offhook.events.catalogue.leads import LeadCadenceCompleted, LeadDeferred
from offhook.leads import People, mark
from offhook.log import get, place_of
from offhook.providers import DialOrder

LOOK_S = 1.0
BATCH = 100
_NOT_PAUSED = ("accepted", "held", "scheduled", "dialing", "in_call", "qualified", "disqualified", "exhausted")
GRACE = timedelta(seconds=180)
"""How long a lease outlives the longest that its call can last: the sweep has ended a silent call before that."""


class Dispatcher:
    """Dials what is due wherever there is room. Any number of processes may run one."""

    def __init__(
        self, database: Database, log: Log, people: People, calls: Calls, rules: RuleBook, wakeups: Wakeups
    ) -> None:
        self._database = database
        self._log = log
        self._people = people
        self._calls = calls
        self._rules = rules
        self._awake = asyncio.Event()
        self._placing: dict[asyncio.Task[None], Tenant] = {}
        self.driven: set[Tenant] = set()
        """Tenants whose due attempts somebody else in this process sees to (the virtual clock)."""
        wakeups.hear("dial", self._hear)

    def wake(self) -> None:
        """Look now instead of at the next look."""
        self._awake.set()

    def _hear(self, tenant: str) -> None:
        if all(driven.word != tenant for driven in self.driven):
            self._awake.set()

    async def run(self) -> None:
        """Dial until cancelled. A database that is away is waited for: nothing is dialed without it.

        A campaign whose dispatch fails is told in the log and tried at the next look; the others are dialed meanwhile.
        """
        while True:
            self._awake.clear()
            try:
                if await self._dial_everywhere():
                    continue
            except (Unavailable, DeadlockDetected) as failure:
                get("dialing").warning("look_put_off", why=type(failure).__name__)
            await self._sleep()

    async def _dial_everywhere(self) -> bool:
        """One batch of every campaign that has something due and room; whether any attempt moved."""
        async with self._database.engine_each() as tx:
            due = await attempt_store.all_with_due_and_room(tx)
        mine = [(tenant, campaign) for tenant, campaign in due if tenant not in self.driven]
        results = await asyncio.gather(
            *(self.dispatch(tenant, campaign) for tenant, campaign in mine), return_exceptions=True
        )
        for (_, campaign), result in zip(mine, results, strict=True):
            if isinstance(result, BaseException):
                _tell_failed(campaign, result)
        return any(result for result in results if not isinstance(result, BaseException))

    async def drain(self, tenant: Tenant) -> bool:
        """Dial until nothing that is due has room; whether anything was done."""
        any_done = False
        while await self.work(tenant):
            any_done = True
            await asyncio.gather(*self._placing, return_exceptions=True)
        return any_done

    async def work(self, tenant: Tenant) -> bool:
        """Dial what is due and has room; whether anything was done."""
        async with self._database.engine_each() as tx:
            campaigns = await attempt_store.with_due_and_room(tx, tenant)
        moved = sum([await self.dispatch(tenant, campaign) for campaign in campaigns])
        return moved > 0 or tenant in self._placing.values()

    async def finish(self, tenant: Tenant, within_s: float) -> None:
        """Wait at most so many seconds for the platforms' answers to what was dialed here for this tenant."""
        if mine := [task for task, whose in self._placing.items() if whose == tenant]:
            await asyncio.wait(mine, timeout=within_s)

    async def close(self) -> None:
        """Wait for the platforms' answers to all that was dialed here; each is bounded by itself."""
        await asyncio.gather(*self._placing, return_exceptions=True)

    @property
    def ahead(self) -> LiteralString:
        """Due now is what is due and has room; what has none waits for capacity, not for time."""
        # Constants put together from constants.
        return f"select ({attempt_store.NEXT_DUE}), ({self._calls.being_placed})"

    async def dispatch(self, tenant: Tenant, campaign_id: UUID) -> int:
        """One batch of one campaign: how many attempts moved (dialed, put off or barred)."""
        return await unraced(lambda: self._dispatch(tenant, campaign_id))

    async def _dispatch(self, tenant: Tenant, campaign_id: UUID) -> int:
        async with self._database.transaction(tenant) as tx:
            await store.lock_campaign(tx, campaign_id)
            (campaign,) = await store.campaigns(tx, by_id=[campaign_id])
            if campaign.status != "running":
                return 0
            room = min(BATCH, await room_of(tx, campaign))
            due = await attempt_store.due_attempts(tx, campaign_id, room) if room > 0 else []
            if not due:
                return 0
            verdicts = await gate(tx, self._people, self._rules, campaign, due)
            orders = await self._commit_dials(tx, campaign, [one for one in verdicts if isinstance(one, Cleared)])
            await self._put_off(tx, verdicts)
        self._place(tenant, orders)
        return len(verdicts)

    async def dial_now(self, tx: Tx, campaign: CampaignRow, cleared: Cleared, actor: Actor) -> DialOrder | None:
        """Commit one dial out of turn, as `actor` asks; None when there is no room for it. The caller holds the campaign's turn."""
        if await room_of(tx, campaign) < 1:
            return None
        orders = await self._commit_dials(tx, campaign, [cleared], actor)
        tx.on_commit(lambda: self._place(tx.tenant, orders))
        return orders[0] if orders else None

    async def _commit_dials(
        self, tx: Tx, campaign: CampaignRow, cleared: Sequence[Cleared], actor: Actor = ENGINE
    ) -> list[DialOrder]:
        until = tx.now + timedelta(seconds=campaign.ring_timeout_s + campaign.max_duration_s) + GRACE
        pairs = [(one, ids.call_of_attempt(one.attempt.id)) for one in cleared]
        if campaign.mode != "ai_only":
            leased = await routing.choose(tx, campaign.id, [call for _, call in pairs], until) if pairs else {}
            pairs = [(one, call) for one, call in pairs if call in leased]
        if not pairs:
            return []
        await attempt_store.start_dialing(tx, [(one.attempt.id, call) for one, call in pairs])
        # A paused lead that is dialed out of turn stays paused, and so does what follows that call.
        await mark(tx, [(one.lead.id, "dialing", None) for one, _ in pairs], only_from=_NOT_PAUSED)
        return await self._calls.begin(tx, [_new_call(campaign, one, actor) for one, _ in pairs])

    async def _put_off(self, tx: Tx, verdicts: Sequence[Gated]) -> None:
        held = [one for one in verdicts if isinstance(one, Held)]
        barred = [one for one in verdicts if isinstance(one, Barred)]
        await attempt_store.postpone(tx, [(one.attempt.id, one.until, one.code) for one in held]) if held else None
        for one in barred:
            await attempt_store.cancel_planned(tx, [one.lead.id], ",".join(one.codes))
        await mark(
            tx, [(one.lead.id, "scheduled", one.until) for one in held], only_from=("held", "scheduled", "accepted")
        )
        await mark(
            tx, [(one.lead.id, "exhausted", None) for one in barred if one.lead.row.status in ("held", "scheduled")]
        )
        await self._log.append(tx, [*map(_deferred, held), *(_barred(one) for one in barred if one.lead.details)])

    def _place(self, tenant: Tenant, orders: Sequence[DialOrder]) -> None:
        for order in orders:
            task = asyncio.create_task(self._calls.place(tenant, order))
            self._placing[task] = tenant
            task.add_done_callback(self._placed)

    def _placed(self, task: "asyncio.Task[None]") -> None:
        self._placing.pop(task, None)
        if not task.cancelled() and (failure := task.exception()):
            # The sweep asks the platform about this call within a minute.
            get("dialing").error("place_failed", error=type(failure).__name__)

    async def _sleep(self) -> None:
        try:
            await asyncio.wait_for(self._awake.wait(), LOOK_S)
        except TimeoutError:
            return


def _tell_failed(campaign_id: UUID, failure: BaseException) -> None:
    log, why = get("dialing"), type(failure).__name__
    if isinstance(failure, Unavailable | DeadlockDetected):
        log.warning("dispatch_put_off", campaign=campaign_id.hex, why=why)
    else:
        log.error("dispatch_failed", campaign=campaign_id.hex, error=why, at=place_of(failure))


async def room_of(tx: Tx, campaign: CampaignRow) -> int:
    """How many more calls this campaign may have out now. Exact under the campaign's turn."""
    room = campaign.max_concurrent_calls - await attempt_store.dialing_now(tx, campaign.id)
    if campaign.mode == "ai_only":
        return room
    cap = campaign.max_live_transfers if campaign.max_live_transfers is not None else campaign.max_concurrent_calls
    return min(room, await routing.free_slots(tx, campaign.id, cap))


def _new_call(campaign: CampaignRow, one: Cleared, actor: Actor) -> NewCall:
    story = one.lead.story(status="dialing")
    assert campaign.provider_account_id is not None  # a campaign without a platform cannot be started
    return NewCall(
        attempt_id=one.attempt.id,
        lead_id=one.lead.id,
        campaign_id=campaign.id,
        provider_account_id=campaign.provider_account_id,
        mode=campaign.mode,
        number_tag=one.lead.row.number_tag,
        attempt_n=one.attempt.n,
        person=one.lead.id,
        phone=one.lead.phone,
        caller_id=campaign.caller_id,
        ring_timeout_s=campaign.ring_timeout_s,
        max_duration_s=campaign.max_duration_s,
        lead_story=story.lead or b"null",
        visitor=story.visitor,
        client_ref_id=one.lead.details["client_ref_id"],
        merge_fields=one.lead.details["merge_fields"],
        actor=actor,
    )


def _deferred(one: Held) -> Fact:
    blocker = {"kind": "window", "rule": one.rule, "code": one.code, "until": one.until.isoformat()}
    return LeadDeferred(subject_id=one.lead.id, story=one.lead.story(), attempt_no=one.attempt.n, blockers=[blocker])


def _barred(one: Barred) -> Fact:
    return LeadCadenceCompleted(
        subject_id=one.lead.id,
        story=one.lead.story(),
        attempts_made=one.attempt.n - 1,
        outcome="barred:" + ",".join(one.codes),
        attempts_cancelled=1,
    )
