"""The state of a transfer, pure like the call's: the target's leg moves it, the consumer's end closes it.

    initiated ─▶ ringing ─▶ bridged ─▶ completed ─▶ over
        └───────────┴── declined · no_answer · failed ──▶ over     and the consumer is still with the AI

What is over is over: the slot is released with it, in the same step.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from offhook import ids
from offhook.calls.call import Call, Handover, seconds
from offhook.events import Actor, Fact, Transition
from offhook.events.catalogue import transfers as told
from offhook.providers import CallReport
from offhook.providers.contract import Kind
from offhook.routing import NoTarget, Placement

Step = tuple[Call, list[Fact]]

_RANK = {"initiated": 0, "ringing": 1, "bridged": 2, "completed": 3, "over": 9}


def begin(call: Call, transfer_id: UUID, placement: Placement, reason: str, at: datetime, until: datetime) -> Step:
    """The call with a transfer to this target under way, and why: initiated, routed, reserved."""
    transfer = Handover(
        id=transfer_id,
        target_id=placement.target_id,
        kind=placement.kind,
        address=placement.address,
        timeout_s=placement.timeout_s,
        requested_at=at,
    )
    after = replace(call, transfer=transfer)
    common: dict[str, Any] = {"subject_id": call.id, "story": after.story(), "occurred_at": at}
    one = {**common, "transfer_id": ids.show("trf", transfer_id), "target_id": ids.show("tgt", placement.target_id)}
    return after, [
        told.TransferInitiated(
            **common,
            transition=Transition("transfer", None, "initiated", reason),
            transfer_id=one["transfer_id"],
            reason=reason,
            qualified=call.qualified,
        ),
        told.TransferRouted(**one, decision_id=ids.show("dec", placement.decision_id)),
        told.TransferReserved(**one, expires_at=until),
    ]


def nobody_free(call: Call, nobody: NoTarget, reason: str, at: datetime) -> list[Fact]:
    """What is told when the consumer should be handed over and nobody can take them."""
    return [
        told.TransferNoCapacity(
            subject_id=call.id,
            story=call.story(),
            occurred_at=at,
            reason=reason,
            blockers=list(nobody.blockers),
            decision_id=ids.show("dec", nobody.decision_id),
        )
    ]


def advance(call: Call, report: CallReport, at: datetime) -> Step:
    """What a report about the target's leg makes of the transfer; without an open one it changes nothing."""
    if report.kind is Kind.TRANSFERRED and call.transfer is None:
        # A platform's own flow moved the consumer on: true, but no transfer of ours.
        return replace(call, transferred=True), []
    transfer = call.open_transfer
    if transfer is None:
        return call, []
    return _STEPS[report.kind](call, transfer, report, at)


def close(call: Call, at: datetime, by: str) -> Step:
    """The call with no transfer open: the consumer's leg is gone, so the transfer is over however far it came."""
    transfer = call.open_transfer
    if transfer is None:
        return call, []
    if transfer.alone_at is not None:
        return _over(call, transfer, at, "ended", lambda say: _ended(transfer, at, by, say))
    return _over(call, transfer, at, "failed", lambda say: told.TransferFailed(**say, code="consumer_gone"))


def _ringing(call: Call, transfer: Handover, report: CallReport, at: datetime) -> Step:
    if _RANK[transfer.status] >= _RANK["ringing"]:
        return call, []
    after = replace(call, transfer=replace(transfer, status="ringing", ringing_at=at))
    say = _say(after, at, Transition("transfer", transfer.status, "ringing", "target_rings"))
    return after, [told.TransferRinging(**say, timeout_s=transfer.timeout_s)]


def _bridged(call: Call, transfer: Handover, report: CallReport, at: datetime) -> Step:
    if _RANK[transfer.status] >= _RANK["bridged"]:
        return call, []
    after = replace(call, transferred=True, transfer=replace(transfer, status="bridged", bridged_at=at))
    say = _say(after, at, Transition("transfer", transfer.status, "bridged", "target_answered"))
    return after, [told.TransferBridged(**say, wait_s=seconds(transfer.requested_at, at))]


def _completed(call: Call, transfer: Handover, report: CallReport, at: datetime) -> Step:
    if _RANK[transfer.status] >= _RANK["completed"]:
        return call, []
    after = replace(call, transferred=True, transfer=replace(transfer, status="completed", completed_at=at))
    return after, [
        told.TransferCompleted(**_say(after, at, Transition("transfer", transfer.status, "completed", "ai_left")))
    ]


def _declined(call: Call, transfer: Handover, report: CallReport, at: datetime) -> Step:
    return _refused(call, transfer, at, "declined", lambda say: told.TransferDeclined(**say, code=_code(report)))


def _no_answer(call: Call, transfer: Handover, report: CallReport, at: datetime) -> Step:
    return _refused(call, transfer, at, "no_answer", lambda say: told.TransferNoAnswer(**say, code=_code(report)))


def _failed(call: Call, transfer: Handover, report: CallReport, at: datetime) -> Step:
    return _refused(call, transfer, at, "failed", lambda say: told.TransferFailed(**say, code=_code(report)))


def _target_ended(call: Call, transfer: Handover, report: CallReport, at: datetime) -> Step:
    if transfer.alone_at is None:
        return _failed(call, transfer, report, at)
    by = report.cause.party if report.cause else "unknown"
    return _over(call, transfer, at, "ended", lambda say: _ended(transfer, at, by, say))


def _refused(call: Call, transfer: Handover, at: datetime, word: str, fact: Callable[[dict[str, Any]], Fact]) -> Step:
    # A human who is already talking cannot decline any more; the report is late.
    return (call, []) if transfer.alone_at is not None else _over(call, transfer, at, word, fact)


def _over(call: Call, transfer: Handover, at: datetime, word: str, fact: Callable[[dict[str, Any]], Fact]) -> Step:
    after = replace(call, transfer=replace(transfer, status="over", ended_at=at))
    say = _say(after, at, Transition("transfer", transfer.status, word, f"target_{word}"))
    return after, [fact(say), told.TransferReleased(**{**say, "transition": None}, reason=word)]


def _ended(transfer: Handover, at: datetime, by: str, say: dict[str, Any]) -> Fact:
    return told.TransferEnded(**say, talk_s=seconds(cast(datetime, transfer.alone_at), at), ended_by=by)


def _say(call: Call, at: datetime, moved: Transition) -> dict[str, Any]:
    assert call.transfer is not None
    return {
        "subject_id": call.id,
        "story": call.story(),
        "transition": moved,
        "actor": Actor("provider"),
        "occurred_at": at,
        "transfer_id": ids.show("trf", call.transfer.id),
        "target_id": ids.show("tgt", call.transfer.target_id),
    }


def _code(report: CallReport) -> str | None:
    return report.cause.detail if report.cause else None


_STEPS: Mapping[Kind, Callable[[Call, Handover, CallReport, datetime], Step]] = {
    Kind.TARGET_RINGING: _ringing,
    Kind.TARGET_BRIDGED: _bridged,
    Kind.TRANSFERRED: _completed,
    Kind.TARGET_DECLINED: _declined,
    Kind.TARGET_NO_ANSWER: _no_answer,
    Kind.TARGET_FAILED: _failed,
    Kind.TARGET_ENDED: _target_ended,
}
