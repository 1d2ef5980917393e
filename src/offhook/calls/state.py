"""The state of a call, as a pure function: a call and a report give the call that follows and the facts of the step.

    requested ─▶ placed ─▶ ringing ─▶ answered ─▶ ended      the consumer's leg alone moves the call
                inbound_ringing ──────▲
    transfer: initiated ─▶ ringing ─▶ bridged ─▶ completed ─▶ over     the target's leg moves the transfer

Reports come late, twice and in any order; they are applied by rank, so a lower rank changes nothing and no skipped
step is ever made up. Who answered is an annotation and moves nothing. `ended` happens once and is never taken back: a
late answer is an alarm and a hang-up, a late cause only fills in what nobody knew. Applying a report again is the same
as never having seen it again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from offhook.calls import handover
from offhook.calls.call import RANK, Call, End, Status, seconds
from offhook.calls.reasons import why_ended
from offhook.events import ENGINE, Actor, Fact, Transition
from offhook.events.catalogue import calls as told
from offhook.providers import CallReport
from offhook.providers.contract import Cause, Kind

Step = tuple[Call, list[Fact]]

LATE_ANNOTATION = timedelta(seconds=300)
"""Answer detection may finish after the hang-up; later than this it is noise."""

_CERTAINTY = {"unknown": 0, "human": 1, "voicemail": 2, "screening": 2, "ivr": 2, "fax": 2}
PLATFORM = Actor("provider")


def advance(call: Call, report: CallReport) -> Step:
    """The call after this report, and what it makes true. Late and repeated reports give the same call and no facts.

    `report.at` must be set. The same call and report give the same answer, always. The facts stand in the order in which
    they were made, so their ids ascend.
    """
    assert report.at is not None
    at = max(report.at, call.about.started_at)
    if call.over:
        return _after_the_end(call, report, at)
    if handle := _LIVE.get(report.kind):
        return handle(call, report, at)
    return handover.advance(call, report, at)


def in_order(reports: Sequence[CallReport]) -> list[CallReport]:
    """Reports that came together, sorted so that the end comes last and an answer before what is said about it."""
    return sorted(reports, key=lambda report: _ORDER.get(report.kind, 4))


def began(call: Call, by: Actor = ENGINE) -> list[Fact]:
    """What is true of a call that has just begun, because `by` decided on it."""
    kind = "placed" if call.about.direction == "outbound" else "inbound"
    started = told.CallStarted(
        subject_id=call.id,
        story=call.story(),
        transition=Transition("status", None, call.status, "dial_committed" if kind == "placed" else "call_received"),
        actor=by,
        start_kind=kind,
    )
    if kind == "placed":
        return [started]
    return [
        started,
        told.CallInboundRinging(
            subject_id=call.id, story=call.story(), actor=PLATFORM, did=call.told.caller_id or "unknown"
        ),
    ]


def set_disposition(call: Call, code: str, by: Actor, at: datetime) -> Step:
    """The call with this disposition, before or after its end; the same code again changes nothing."""
    if not code or code == call.disposition:
        return call, []
    after = replace(call, disposition=code)
    fact = told.CallDispositionSet(
        subject_id=call.id,
        story=after.story(),
        transition=Transition("disposition", call.disposition, code, "set"),
        actor=by,
        occurred_at=at,
        code=code,
        previous=call.disposition,
        set_by=by.type,
    )
    return after, [fact]


def _placed(call: Call, report: CallReport, at: datetime) -> Step:
    after, moved = _climb(replace(call, placed_at=call.placed_at or at), "placed", "accepted_by_platform")
    if not moved:
        return after, []
    about = call.about
    return after, [
        told.CallPlaced(
            **_say(after, at, moved), ring_timeout_s=about.ring_timeout_s, max_duration_s=about.max_duration_s
        )
    ]


def _ringing(call: Call, report: CallReport, at: datetime) -> Step:
    after, moved = _climb(replace(call, ringing_at=call.ringing_at or at), "ringing", "far_end_rings")
    sip = report.cause.sip if report.cause else None
    return after, [told.CallRinging(**_say(after, at, moved), sip_code=sip)] if moved else []


def _answered(call: Call, report: CallReport, at: datetime) -> Step:
    climbed, moved = _climb(replace(call, answered_at=call.answered_at or at), "answered", "far_end_answered")
    after = _recognised(climbed, report)
    # A fact is made in its place, for its id is minted then: the answer before what is said about it.
    answered: list[Fact] = []
    if moved:
        delay_ms = round(max(timedelta(), at - call.about.started_at).total_seconds() * 1000)
        say = _say(after, at, moved)
        answered.append(told.CallAnswered(**say, answered_by=after.answered_by, post_dial_delay_ms=delay_ms))
    return after, [*answered, *_about_whom(climbed, after, at)]


def _answered_by(call: Call, report: CallReport, at: datetime) -> Step:
    after = _recognised(call, report)
    return after, _about_whom(call, after, at)


def _recognised(call: Call, report: CallReport) -> Call:
    who = report.answered_by or "unknown"
    return replace(call, answered_by=who) if _CERTAINTY[who] > _CERTAINTY[call.answered_by] else call


def _about_whom(before: Call, after: Call, at: datetime) -> list[Fact]:
    if after.answered_by in (before.answered_by, "human"):
        return []
    with_human = after.open_transfer is not None and after.open_transfer.alone_at is not None
    return [told.CallVoicemailDetected(**_say(after, at), answer_class=after.answered_by, human_bridged=with_human)]


def _voice(call: Call, report: CallReport, at: datetime) -> Step:
    if call.voice_detected:
        return call, []
    after = replace(call, voice_detected=True)
    since_ms = round(max(timedelta(), at - call.answered_at).total_seconds() * 1000) if call.answered_at else None
    return after, [told.CallVoiceDetected(**_say(after, at), since_answer_ms=since_ms)]


def _qualification(call: Call, report: CallReport, at: datetime) -> Step:
    found = report.qualification
    if found is None or call.qualified or found.score < found.threshold:
        return call, []
    after = replace(call, qualified=True)
    return after, [
        told.CallQualificationThresholdMet(
            **_say(after, at),
            score=found.score,
            threshold=found.threshold,
            facts=dict(found.facts),
            decided_by="engine",
        )
    ]


def _opt_out(call: Call, report: CallReport, at: datetime) -> Step:
    if call.opt_out:
        return call, []
    after = replace(call, opt_out=True)
    return after, [told.CallOptOutDetected(**_say(after, at), phrase=report.text, method="engine")]


def _disposition(call: Call, report: CallReport, at: datetime) -> Step:
    return set_disposition(call, report.text, PLATFORM, at)


def _trouble(call: Call, report: CallReport, at: datetime) -> Step:
    code = _code(report)
    if code in call.troubles:
        return call, []
    after = replace(call, troubles=(*call.troubles, code))
    return after, [_error(after, report, at, fatal=False)]


def _no_answer(call: Call, report: CallReport, at: datetime) -> Step:
    fact = told.CallNoAnswer(**_say(call, at), ring_s=_ring_s(call, at), cause=_detail(report))
    return _end(call, report, at, [] if call.answered_at else [fact])


def _busy(call: Call, report: CallReport, at: datetime) -> Step:
    fact = told.CallBusy(**_say(call, at), ring_s=_ring_s(call, at), cause=_detail(report))
    return _end(call, report, at, [] if call.answered_at else [fact])


def _fatal(call: Call, report: CallReport, at: datetime) -> Step:
    return _end(call, report, at, [_error(call, report, at, fatal=True)])


def _ended(call: Call, report: CallReport, at: datetime) -> Step:
    return _end(call, report, at, [])


def _unsure(call: Call, report: CallReport, at: datetime) -> Step:
    return call, []


def _end(call: Call, report: CallReport, at: datetime, before: list[Fact]) -> Step:
    why = why_ended(call, report, at)
    closed, closing = handover.close(call, at, why.by)
    end = End(reason=why.reason, detail=why.detail, by=why.by, inferred=report.confidence == "inferred")
    after = replace(closed, status="ended", ended_at=at, end=end)
    moved = Transition("status", call.status, "ended", why.reason)
    ended = told.CallEnded(
        **_say(after, at, moved),
        end_reason=end.reason,
        end_detail=end.detail,
        ended_by=end.by,
        answered=after.answered_at is not None,
        answered_by=after.answered_by,
        disposition=after.disposition,
        duration_s=after.duration_s or 0,
        talk_s=after.talk_s or 0,
        transferred=after.transferred,
        qualified=after.qualified,
        opt_out=after.opt_out,
    )
    over = [*closing, ended, told.CallFinalized(**_say(after, at), complete=True, missing=[])]
    # Who had us hang up did all this; the platform only obeyed. What no platform said, we did ourselves.
    by_us = ENGINE if why.by == "us" and report.source in ("command", "reconciler") else None
    actor = why.asked_by or by_us
    return after, [*before, *(replace(fact, actor=actor) if actor else fact for fact in over)]


def _after_the_end(call: Call, report: CallReport, at: datetime) -> Step:
    match report.kind:
        case Kind.ANSWERED if call.answered_at is None:
            return _answered_late(call, at)
        case Kind.ANSWERED_BY | Kind.ANSWERED if report.answered_by:
            return _recognised_late(call, report.answered_by, at)
        case Kind.OPT_OUT_PHRASE:
            # Heard after the hang-up it binds all the same.
            return _opt_out(call, report, at)
        case Kind.DISPOSITION:
            return _disposition(call, report, at)
        case Kind.ENDED | Kind.NO_ANSWER | Kind.BUSY | Kind.ERROR if report.confidence == "observed":
            return _explained_late(call, report, at)
        case _:
            return call, []


def _answered_late(call: Call, at: datetime) -> Step:
    if call.late_answer:
        return call, []
    after = replace(call, late_answer=True)
    return after, [_updated(after, at, "late_answer", False, True, alert=True)]


def _recognised_late(call: Call, who: str, at: datetime) -> Step:
    assert call.ended_at is not None
    if _CERTAINTY[who] <= _CERTAINTY[call.answered_by] or at - call.ended_at > LATE_ANNOTATION:
        return call, []
    after = replace(call, answered_by=who)
    return after, [_updated(after, at, "answered_by", call.answered_by, who)]


def _explained_late(call: Call, report: CallReport, at: datetime) -> Step:
    assert call.end is not None
    detail = _detail(report)
    if not call.end.inferred or detail is None:
        return call, []
    after = replace(call, end=replace(call.end, detail=detail, inferred=False))
    return after, [_updated(after, at, "end_detail", call.end.detail, detail)]


def _updated(call: Call, at: datetime, path: str, before: object, now: object, *, alert: bool = False) -> Fact:
    changes = [{"path": path, "from": before, "to": now}]
    return told.CallUpdated(**_say(call, at), changes=changes, alert=alert)


def _climb(call: Call, status: Status, why: str) -> tuple[Call, Transition | None]:
    if RANK[status] <= RANK[call.status]:
        return call, None
    return replace(call, status=status), Transition("status", call.status, status, why)


def _say(call: Call, at: datetime, moved: Transition | None = None) -> dict[str, Any]:
    """What every fact that a platform's report makes has in common."""
    return {
        "subject_id": call.id,
        "story": call.story(),
        "transition": moved,
        "actor": PLATFORM,
        "occurred_at": at,
    }


def _error(call: Call, report: CallReport, at: datetime, *, fatal: bool) -> Fact:
    return told.CallError(**_say(call, at), error_code=_code(report), provider_code=_detail(report), fatal=fatal)


def _code(report: CallReport) -> str:
    return (report.cause or Cause()).reason or "provider_error"


def _detail(report: CallReport) -> str | None:
    return report.cause.detail if report.cause else None


def _ring_s(call: Call, at: datetime) -> int | None:
    return seconds(call.ringing_at, at) if call.ringing_at else None


_LIVE: Mapping[Kind, Callable[[Call, CallReport, datetime], Step]] = {
    Kind.PLACED: _placed,
    Kind.RINGING: _ringing,
    Kind.INBOUND_RINGING: _unsure,
    Kind.ANSWERED: _answered,
    Kind.ANSWERED_BY: _answered_by,
    Kind.VOICE_DETECTED: _voice,
    Kind.QUALIFICATION: _qualification,
    Kind.OPT_OUT_PHRASE: _opt_out,
    Kind.DISPOSITION: _disposition,
    Kind.TROUBLE: _trouble,
    Kind.NO_ANSWER: _no_answer,
    Kind.BUSY: _busy,
    Kind.ERROR: _fatal,
    Kind.ENDED: _ended,
    Kind.NOT_FOUND: _ended,
    Kind.UNSURE: _unsure,
}
_ORDER = {
    Kind.PLACED: 1,
    Kind.INBOUND_RINGING: 1,
    Kind.RINGING: 2,
    Kind.ANSWERED: 3,
    Kind.TARGET_RINGING: 5,
    Kind.TARGET_BRIDGED: 6,
    Kind.TRANSFERRED: 7,
    Kind.TARGET_DECLINED: 8,
    Kind.TARGET_NO_ANSWER: 8,
    Kind.TARGET_FAILED: 8,
    Kind.TARGET_ENDED: 8,
    Kind.NO_ANSWER: 9,
    Kind.BUSY: 9,
    Kind.ERROR: 9,
    Kind.ENDED: 9,
    Kind.NOT_FOUND: 9,
}


def hung_up_wanted(before: Call, after: Call) -> bool:
    """Whether this step makes a hang-up necessary: a call that is over or stopped for us came further all the same."""
    if after.over:
        return after.late_answer and not before.late_answer
    return after.stop_requested_at is not None and after.status != before.status


def transfer_closed(before: Call, after: Call) -> UUID | None:
    """The transfer that this step brought to its end."""
    open_before = before.open_transfer
    still = after.open_transfer
    return open_before.id if open_before and not still else None
