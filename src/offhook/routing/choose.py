"""`choose` before the dial, `confirm` before the promise: each leases in the caller's transaction and says why."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from offhook import ids
from offhook.db import Tx
from offhook.routing import store

RULE = "priority: the lowest number first, then the target that was made first"

CAP_REACHED = "max_live_transfers"
"""The blocker of a campaign that holds as many slots as it may."""


@dataclass(frozen=True, slots=True)
class Placement:
    """The human's end that was leased for a call."""

    target_id: UUID
    kind: Literal["did", "sip", "queue"]
    address: str
    timeout_s: int
    decision_id: UUID


@dataclass(frozen=True, slots=True)
class NoTarget:
    """Nobody can take it now; `blockers` says why, target by target."""

    blockers: tuple[str, ...]
    decision_id: UUID


async def choose(tx: Tx, campaign_id: UUID, calls: Sequence[UUID], until: datetime) -> dict[UUID, Placement]:
    """Lease one slot for each of these calls, in order, until `until`; calls for whom none is left are not in the answer.

    Idempotent: a call that holds a slot keeps it. The campaign never holds more than its cap.
    """
    await store.take_turn(tx, campaign_id)
    candidates, room = await store.candidates(tx), await store.room(tx, campaign_id)
    leased = await store.lease(tx, campaign_id, calls, until, room)
    placed = {call: _placement(target, candidates, ids.new()) for call, target in leased.items()}
    record = _record(campaign_id, candidates, room)
    rows = [
        (placed[call].decision_id if call in placed else ids.new(), call, "dial", leased.get(call), record)
        for call in calls
    ]
    await store.record(tx, rows)
    return placed


async def confirm(tx: Tx, campaign_id: UUID, call_id: UUID, until: datetime) -> Placement | NoTarget:
    """Ask again for the slot of a call about to be transferred; another one when its own is no longer to be had.

    Another one is bounded by the campaign's cap, like the first.
    """
    decision = ids.new()
    target = await store.held_slot(tx, call_id, until)
    room = None
    if target is None:
        await store.take_turn(tx, campaign_id)
        # Given back first: the call's own lease is no reason why somebody could not take it.
        await store.release(tx, [call_id])
        room = await store.room(tx, campaign_id)
    candidates = await store.candidates(tx)
    if room is not None:
        target = (await store.lease(tx, campaign_id, [call_id], until, room)).get(call_id)
    await store.record(tx, [(decision, call_id, "transfer", target, _record(campaign_id, candidates, room))])
    if target is None:
        full = [f"{ids.show('cmp', campaign_id)}: {CAP_REACHED}"] if room == 0 else []
        return NoTarget((*full, *(f"{ids.show('tgt', c.id)}: {b}" for c in candidates for b in c.blockers())), decision)
    return _placement(target, candidates, decision)


def _placement(target: UUID, candidates: Sequence[store.Candidate], decision: UUID) -> Placement:
    chosen = next(candidate for candidate in candidates if candidate.id == target)
    return Placement(chosen.id, chosen.kind, chosen.address, chosen.timeout_s, decision)


def _record(campaign_id: UUID, candidates: Sequence[store.Candidate], room: int | None) -> dict[str, Any]:
    considered = [
        {"target": ids.show("tgt", c.id), "priority": c.priority, "free": c.free, "blockers": c.blockers()}
        for c in candidates
    ]
    # The room under the campaign's cap; a call that keeps its slot needs none.
    return {"campaign_id": ids.show("cmp", campaign_id), "rule": RULE, "room": room, "considered": considered}
