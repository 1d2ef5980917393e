"""`Calls`: what the house does with calls, on one page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, LiteralString
from uuid import UUID

import orjson

from offhook import ids, jobs
from offhook.calls import state, store, transfers
from offhook.calls.book import Book, Changed
from offhook.calls.call import About, Call, Stop, Told
from offhook.calls.errands import Errands
from offhook.calls.placing import Placing
from offhook.calls.reports import FIRST_LOOK, Reports
from offhook.calls.shown import shown
from offhook.calls.sweep import Sweep
from offhook.calls.transfers import Floor
from offhook.db import Database, EngineTx, Tenant, Tx, Wakeups
from offhook.errors import Conflict, NotFound
from offhook.events import ENGINE, Actor, Log
from offhook.jobs import Inside, Outside, enqueue_all
from offhook.privacy import Vault
from offhook.providers import CallReport, DialOrder, Providers
from offhook.providers.contract import Capability
from offhook.routing import NoTarget

StopReason = Literal["opt_out", "converted", "erased", "cancelled", "hang_up", "wrap_up"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCall:
    """A call about to begin: whom, for which attempt, on which platform, and who decided on it. `phone` is E.164 in clear.

    `lead_story` and `visitor` are JSON and ride along in every event of the call; `person` is whose key seals them.
    """

    attempt_id: UUID
    lead_id: UUID
    campaign_id: UUID
    provider_account_id: UUID
    mode: str
    number_tag: bytes = field(repr=False)
    attempt_n: int
    person: UUID
    phone: str = field(repr=False)
    caller_id: str | None
    ring_timeout_s: int
    max_duration_s: int
    lead_story: bytes = field(repr=False)
    visitor: bytes | None = field(repr=False)
    client_ref_id: str
    merge_fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    actor: Actor = ENGINE


class Calls:
    """Begins calls, places them, believes reports about them, stops them, and never leaves one in silence."""

    def __init__(
        self, database: Database, vault: Vault, log: Log, providers: Providers, wakeups: Wakeups, floor: Floor
    ) -> None:
        self._providers = providers
        self._floor = floor
        self._book = Book(vault, log)
        self._reports = Reports(vault, self._book, providers, floor, wakeups)
        self._placing = Placing(database, self._book, providers, self._reports)
        self._errands = Errands(database, self._book, providers, self._reports)
        self._sweep = Sweep(self._reports, floor)

    @property
    def handlers(self) -> dict[str, Inside | Outside]:
        """The jobs of this room, for the runner."""
        return {
            "calls.sweep": Inside(self._sweep.look, endless=True),  # a call that nobody looks after holds a human
            "calls.ask": Outside(self._errands.ask),
            "calls.hang_up": Outside(self._errands.hang_up),
            "calls.transfer": Outside(self._errands.transfer),
            "calls.wrap_up": Outside(self._errands.wrap_up),
        }

    async def begin(self, tx: Tx, new: Sequence[NewCall]) -> list[DialOrder]:
        """Commit to these dials: the calls exist once, are told as started, and will be looked after.

        Idempotent: an attempt that has its call already, or whose person was erased, gets no order. Each order is to
        be handed to `place` after the commit, once, by whoever got it.
        """
        calls = {call.id: (call, item.actor) for item in new for call in [await self._new_call(tx, item)]}
        begun = await self._book.enter(tx, [call for call, _ in calls.values()], being_placed=True)
        if not begun:
            return []
        changes = [Changed(call, call, state.began(call, calls[call.id][1])) for call in begun]
        await self._book.write(tx, changes, born=[call.id for call in begun])
        await enqueue_all(tx, "calls.sweep", [(call.id.hex, {}, tx.now + FIRST_LOOK) for call in begun])
        return [_order(call) for call in begun]

    async def place(self, tenant: Tenant, order: DialOrder) -> None:
        """Hand the call to its platform, at most once; outside any transaction.

        Never raises for what the platform does: a refusal ends the call, silence leaves it to the sweep, which asks
        within 60 s; nobody redials. A call stopped meanwhile is not dialed, or hung up.
        """
        await self._placing.place(tenant, order)

    async def report(self, tx: Tx, account_id: UUID, reports: Sequence[CallReport]) -> int:
        """Believe what the account's platform says; how many reports were new. Late and repeated ones are harmless."""
        (new,) = await self.report_all(tx, [(account_id, reports)])
        return new

    async def report_all(self, tx: Tx, said: Sequence[tuple[UUID, Sequence[CallReport]]]) -> list[int]:
        """`report` for each (account, reports) in one transaction, in order; begin it with this, before rows are locked."""
        await self._reports.take_turns(tx, said)
        return [await self._reports.take(tx, account_id, reports) for account_id, reports in said]

    async def stop(
        self, tx: Tx, reason: StopReason, *, number_tag: bytes | None = None, lead_id: UUID | None = None
    ) -> list[UUID]:
        """End every open call of that number or lead, and name them. Idempotent.

        From the commit on none of them is dialed any more; those at a platform are handed to it for hang-up at once.
        """
        stopped = await store.request_stop(tx, Stop(reason), tag=number_tag, lead=lead_id)
        await self._reports.hang_up(tx, stopped)
        return stopped

    async def open_calls(self, tx: Tx, lead_id: UUID) -> list[UUID]:
        """The calls of this lead that have not ended: an erasure waits for them."""
        return await store.open_of_lead(tx, lead_id)

    async def forget_reports(self, tx: EngineTx) -> int:
        """Forget some reports that were seen more than 72 hours ago, and how many: no platform repeats itself for so long."""
        return await store.forget_reports(tx)

    @property
    def being_placed(self) -> LiteralString:
        """A select: whether some process is handing a call of this tenant to its platform right now."""
        return store.BEING_PLACED

    async def find(self, tx: Tx, call_id: UUID) -> Call:
        """The call as it is now, nulls where its person was erased. Raises NotFound."""
        found = (await self._book.read(tx, [call_id])).get(call_id)
        if found is None:
            raise NotFound("no_such_call", "There is no call with this id.", param="id")
        return found

    async def shown(self, tx: Tx, call_id: UUID, *, personal: bool) -> dict[str, Any]:
        """The call as the API tells it, its numbers masked without `personal`. Raises NotFound."""
        return shown(await self.find(tx, call_id), personal=personal)

    async def page(
        self, tx: Tx, *, lead_id: UUID | None = None, status: str | None = None, before: UUID | None, limit: int
    ) -> list[Call]:
        """Calls, the latest first, after the one that the page before ended with."""
        return await self._book.page(tx, lead_id, status, before, limit)

    async def hang_up(self, tx: Tx, call_id: UUID, by: Actor) -> Call:
        """End one call; its end names `by`, who asked for it. Raises NotFound. A call that is over stays as it is."""
        stopped = await store.request_stop(tx, Stop("hang_up", by), call=call_id)
        await self._reports.hang_up(tx, stopped)
        return await self.find(tx, call_id)

    async def transfer(self, tx: Tx, call_id: UUID, reason: str, by: Actor) -> Call:
        """Hand the consumer, as `by` asks, to a human leased in this transaction; the platform is told after the commit.

        Raises NotFound; Conflict `unsupported`, `not_transferable`, or `capacity_exceeded` when nobody is free.
        """
        call = await self._locked(tx, call_id)
        await self._require(tx, call, Capability.TRANSFER)
        if not transfers.may_begin(call):
            raise Conflict("not_transferable", "Only an answered call that may still go to a human can be transferred.")
        begun = await transfers.begin(tx, self._floor, call, reason)
        if isinstance(begun, NoTarget):
            raise Conflict(
                "capacity_exceeded", "Nobody can take the call now.", extra={"blockers": list(begun.blockers)}
            )
        after, facts = begun
        await self._book.write(tx, [Changed(call, after, [replace(fact, actor=by) for fact in facts])])
        self._reports.look_at_jobs(tx)
        return after

    async def set_disposition(self, tx: Tx, call_id: UUID, code: str, by: Actor) -> Call:
        """Say how the call went, before or after its end. The platform is told too, where it can be. Raises NotFound."""
        call = await self._locked(tx, call_id)
        after, facts = state.set_disposition(call, code, by, tx.now)
        await self._book.write(tx, [Changed(call, after, facts)])
        provider = await self._providers.for_account(tx, call.about.account_id)
        if facts and Capability.WRAP_UP in provider.capabilities:
            await jobs.enqueue(tx, "calls.wrap_up", {"call": call_id.hex, "code": code}, key=call_id.hex)
        return after

    async def wrap_up(self, tx: Tx, call_id: UUID, code: str, by: Actor) -> Call:
        """Set the disposition and end the call. Raises NotFound, and Conflict `unsupported` where the platform cannot."""
        call = await self.find(tx, call_id)
        await self._require(tx, call, Capability.WRAP_UP)
        await self.set_disposition(tx, call_id, code, by)
        return await self.hang_up(tx, call_id, by)

    async def close(self) -> None:
        """Let orders under way be settled."""
        await self._placing.close()

    async def _locked(self, tx: Tx, call_id: UUID) -> Call:
        found = (await self._book.lock(tx, [call_id])).get(call_id)
        if found is None:
            raise NotFound("no_such_call", "There is no call with this id.", param="id")
        return found

    async def _require(self, tx: Tx, call: Call, capability: Capability) -> None:
        provider = await self._providers.for_account(tx, call.about.account_id)
        if capability not in provider.capabilities:
            raise Conflict("unsupported", f"The platform of this call cannot do that: {capability}.", param="provider")

    async def _new_call(self, tx: Tx, new: NewCall) -> Call:
        account = await self._providers.account(tx, new.provider_account_id)
        about = About(
            id=ids.call_of_attempt(new.attempt_id),
            direction="outbound",
            person_id=new.person,
            lead_id=new.lead_id,
            campaign_id=new.campaign_id,
            attempt_id=new.attempt_id,
            account_id=new.provider_account_id,
            number_tag=new.number_tag,
            provider=account.platform,
            attempt_n=new.attempt_n,
            ring_timeout_s=new.ring_timeout_s,
            max_duration_s=new.max_duration_s,
            started_at=tx.now,
        )
        told = Told(
            phone=new.phone,
            caller_id=new.caller_id,
            client_ref_id=new.client_ref_id,
            merge_fields=new.merge_fields,
            lead=orjson.loads(new.lead_story),
            visitor=orjson.loads(new.visitor) if new.visitor else None,
        )
        return Call(about=about, told=told, mode=new.mode, status="requested")


def _order(call: Call) -> DialOrder:
    about, told = call.about, call.told
    assert told.phone is not None
    return DialOrder(
        call_id=call.id,
        account_id=about.account_id,
        to=told.phone,
        caller_id=told.caller_id,
        mode=call.mode,
        ring_timeout_s=about.ring_timeout_s,
        max_duration_s=about.max_duration_s,
        context_ref=ids.show("call", call.id),
        seed=f"{told.client_ref_id}:{about.attempt_n}",
        merge_fields=told.merge_fields,
    )
