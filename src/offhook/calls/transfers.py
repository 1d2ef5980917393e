"""Handing a consumer over: the slot is asked for again before anything is promised, then the platform is told."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from offhook import ids, jobs
from offhook.calls import handover
from offhook.calls.call import Call
from offhook.db import Tx
from offhook.events import Fact
from offhook.routing import NoTarget, Placement

MAY_TRANSFER = frozenset({"ai_first", "routing_only"})
PROMISED = timedelta(seconds=400)
"""How long a slot is leased for a transfer, longer than any target may ring; the sweep extends it while people talk."""


class Floor(Protocol):
    """What the calls need of the room that leases humans."""

    async def confirm(self, tx: Tx, campaign_id: UUID, call_id: UUID, until: datetime) -> Placement | NoTarget: ...

    async def hold(self, tx: Tx, call_id: UUID, until: datetime) -> None: ...

    async def release(self, tx: Tx, calls: Sequence[UUID]) -> int: ...


def may_begin(call: Call) -> bool:
    """Whether a transfer may begin now: the consumer is on the line, nobody wants the call gone, none is under way."""
    return (
        call.status == "answered"
        and call.open_transfer is None
        and not call.transferred
        and call.stop_requested_at is None
        and not call.opt_out
        and call.about.campaign_id is not None
        and call.mode in MAY_TRANSFER
    )


async def begin(tx: Tx, floor: Floor, call: Call, reason: str) -> tuple[Call, list[Fact]] | NoTarget:
    """Lease a human and begin the transfer; NoTarget when nobody can take the consumer. `may_begin` must hold."""
    assert call.about.campaign_id is not None
    until = tx.now + PROMISED
    found = await floor.confirm(tx, call.about.campaign_id, call.id, until)
    if isinstance(found, NoTarget):
        return found
    step = handover.begin(call, ids.new(), found, reason, tx.now, until)
    await jobs.enqueue(tx, "calls.transfer", {"call": call.id.hex}, key=call.id.hex)
    return step
