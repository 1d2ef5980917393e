"""Handing a call to its platform, at most once.

An order exists once: `Calls.begin` gives it to whoever inserted the call, and nobody can have it again. Between the
commit of `begin` and the answer of the platform the call is `requested`; a process that dies there leaves it so, and
the sweep asks the platform what became of it. Nobody ever dials it again.

Before the platform is asked, and again when it has answered (or has not), the call is read: a stop that came meanwhile
ends it, or hangs it up. So does an order that was kept too long, by a host that slept: the law allowed that dial at the
hour of its commit.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from offhook.calls import store
from offhook.calls.book import Book
from offhook.calls.call import Call
from offhook.calls.reports import Reports
from offhook.db import Database, GroupCommit, Tenant, Tx
from offhook.log import get
from offhook.providers import CallReport, DialOrder, Providers
from offhook.providers.contract import Cause, DialNotSent, DialRefused, Kind, PlatformRef, VoiceProvider

ANSWER_S = 12.0
"""How long a platform may take to answer one dial; longer is *unknown*."""
PAUSES_S = (0.2, 1.0)
"""Before the second and the third try of an order that surely never arrived."""


@dataclass(frozen=True, slots=True)
class Accepted:
    ref: PlatformRef


@dataclass(frozen=True, slots=True)
class Refused:
    cause: Cause


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may be ringing."""


Outcome = Accepted | Refused | Unknown


class Placing:
    """Hands orders over. What many of them need of the database at the same time, they share."""

    def __init__(self, database: Database, book: Book, providers: Providers, reports: Reports) -> None:
        self._book = book
        self._providers = providers
        self._reports = reports
        self._check = GroupCommit[DialOrder, VoiceProvider | None](database, self._may_still_dial)
        self._settle = GroupCommit[tuple[UUID, Outcome], None](database, self._settle_all)

    async def place(self, tenant: Tenant, order: DialOrder) -> None:
        """Hand the order to its platform and record what it said. Never raises for what a platform does."""
        outcome: Outcome | None = None
        for pause_s in (*PAUSES_S, None):
            provider = await self._check.submit(tenant, order)
            if provider is None:
                return
            outcome = await _ask(provider, order)
            if outcome is not None:
                break
            if pause_s is not None:
                await asyncio.sleep(pause_s)
        settled = outcome or Refused(Cause(reason="not_sent", party="platform"))
        await self._settle.submit(tenant, (order.call_id, settled))

    async def close(self) -> None:
        await self._check.close()
        await self._settle.close()

    async def _may_still_dial(self, tx: Tx, orders: Sequence[DialOrder]) -> list[VoiceProvider | None]:
        rows = {row.id: row for row in await store.read(tx, [order.call_id for order in orders])}
        ended = {id_: why for id_, row in rows.items() if row.status == "requested" and (why := _why_not(row, tx.wall))}
        await self._reports.apply(
            tx,
            {id_: [CallReport(key="", kind=Kind.ENDED, cause=why, source="command")] for id_, why in ended.items()},
        )
        return [
            await self._providers.for_account(tx, order.account_id)
            if (row := rows.get(order.call_id)) and row.status == "requested" and row.id not in ended
            else None
            for order in orders
        ]

    async def _settle_all(self, tx: Tx, outcomes: Sequence[tuple[UUID, Outcome]]) -> list[None]:
        said = {call: [_report(outcome)] for call, outcome in outcomes if not isinstance(outcome, Unknown)}
        unknown = {call for call, outcome in outcomes if isinstance(outcome, Unknown)}
        if unknown:
            await store.nobody_places(tx, sorted(unknown))
        calls = await self._reports.apply(tx, said) | await self._book.lock(tx, unknown)
        refused = {call for call, outcome in outcomes if isinstance(outcome, Refused)}
        await self._reports.hang_up(tx, [id_ for id_ in sorted(calls.keys() - refused) if _unwanted(calls[id_])])
        return [None] * len(outcomes)


def _why_not(row: store.Row, wall: datetime) -> Cause | None:
    """Why this call is not to be dialed any more, though nobody has dialed it; None when it is."""
    if row.stop_requested_at is not None:
        return Cause(reason="canceled", party="us")
    # The answer too must come before the sweep may ask: a platform that has yet to hear of the call would not know it.
    if row.placing_until is None or row.placing_until < wall + timedelta(seconds=ANSWER_S):
        return Cause(reason="canceled", code="order_too_old", party="us")
    return None


async def _ask(provider: VoiceProvider, order: DialOrder) -> Outcome | None:
    """What the platform made of the order; None when it surely never heard of it."""
    try:
        async with asyncio.timeout(ANSWER_S):
            return Accepted(await provider.place(order))
    except DialRefused as refused:
        return Refused(refused.cause)
    except DialNotSent:
        return None
    except Exception as failure:
        get("calls").warning("dial_unknown", call=order.call_id.hex, error=type(failure).__name__)
        return Unknown()


def _report(outcome: Accepted | Refused) -> CallReport:
    match outcome:
        case Accepted(ref):
            return CallReport(key="", kind=Kind.PLACED, platform_ref=ref.value, source="command")
        case Refused(cause):
            return CallReport(key="", kind=Kind.ERROR, cause=cause, source="command")


def _unwanted(call: Call) -> bool:
    # It was stopped, or given up as lost, while the platform was dialing it.
    return call.stop_requested_at is not None or call.over
