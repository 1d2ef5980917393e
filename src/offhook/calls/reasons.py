"""Why a call ended: 24 words, whatever the platform's own vocabulary.

A platform's code is looked up by its SIP or Q.850 number, then by its word; what no table knows passes through beside
the end as `end_detail` and is counted, so that the table can grow.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import get_args

from offhook.calls.call import Call, Stop
from offhook.events import ENGINE, Actor
from offhook.providers import CallReport, meaning
from offhook.providers.contract import Cause, Kind, Party

END_REASONS = frozenset(
    "consumer_hangup ai_hangup human_hangup transferred transfer_failed voicemail screening ivr no_answer busy rejected"
    " invalid_number unreachable carrier_error engine_error provider_error silence max_duration opt_out blocked cancelled"
    " capacity watchdog unknown".split()
)

BLIND_COLLAPSE = timedelta(seconds=10)
"""After a blind transfer the platform drops its own leg: a hang-up this soon after is the transfer, not an end by anybody."""

_OF_WORD = {
    "unavailable": "no_answer",
    "timeout": "no_answer",
    "ring_timeout": "no_answer",
    "declined": "rejected",
    "blocked_as_spam": "blocked",
    "auth_or_permission": "provider_error",
    "media": "carrier_error",
    "network": "carrier_error",
    "canceled": "cancelled",
    "not_found_at_platform": "provider_error",
    "not_sent": "provider_error",
}
_OF_PARTY: dict[Party, str] = {
    "consumer": "consumer_hangup",
    "ai": "ai_hangup",
    "human": "human_hangup",
    "carrier": "carrier_error",
    "platform": "provider_error",
    "us": "cancelled",
    "unknown": "unknown",
}
_OF_KIND = {
    Kind.NO_ANSWER: "no_answer",
    Kind.BUSY: "busy",
    Kind.ERROR: "provider_error",
    Kind.NOT_FOUND: "provider_error",
}
_OF_MACHINE = {"voicemail": "voicemail", "screening": "screening", "ivr": "ivr", "fax": "ivr"}
_OF_STOP = {"opt_out": "opt_out", "max_duration": "max_duration", "watchdog": "watchdog"}
_NEVER_ANSWERED = {"no_answer", "busy", "rejected", "unreachable", "invalid_number"}
_HANG_UPS = {"consumer_hangup", "ai_hangup", "unknown"}
assert len(END_REASONS) == 24
assert set(_OF_PARTY) == set(get_args(Party))


@dataclass(frozen=True, slots=True)
class Why:
    """The end's word, the platform's own code beside it, who ended it, and on whose word where we did."""

    reason: str
    detail: str | None
    by: Party
    asked_by: Actor | None


def why_ended(call: Call, report: CallReport, at: datetime) -> Why:
    """What this report means for a call that it ends."""
    cause = report.cause or Cause()
    stop = _stop_behind(call, report)
    by: Party = "us" if stop else cause.party
    # A leg's status taken for the call's: the word goes, the code stays.
    detail = cause.detail or (report.kind.value if call.answered_at and report.kind in _OF_KIND else None)
    return Why(_reason(call, report, cause, at), detail, by, (stop.by or ENGINE) if stop else None)


def word_of(cause: Cause) -> str | None:
    """The reason that the tables give for a cause: one of the 24, or None when they do not know it."""
    found = meaning(cause)
    word = cause.reason if cause.reason not in (None, "normal") else found.reason if found else None
    if word is None:
        return None
    return word if word in END_REASONS else _OF_WORD.get(word)


def is_known(cause: Cause) -> bool:
    """Whether some table knows the cause; an empty one is no code at all and counts as known."""
    if cause.reason in (None, "normal") and cause.sip is None and cause.q850 is None:
        return cause.code is None or cause.party != "unknown"
    return word_of(cause) is not None or meaning(cause) is not None or cause.reason == "normal"


def _reason(call: Call, report: CallReport, cause: Cause, at: datetime) -> str:
    if stop := _stop_behind(call, report):
        return _OF_STOP.get(stop.reason, "cancelled")
    if _blindly_transferred(call, at):
        return "transferred"
    word = word_of(cause)
    if call.answered_at:
        word = None if word in _NEVER_ANSWERED else word
    else:
        word = word or _OF_KIND.get(report.kind)
    word = word or _OF_PARTY[cause.party]
    return _OF_MACHINE.get(call.answered_by, word) if word in _HANG_UPS else word


def _stop_behind(call: Call, report: CallReport) -> Stop | None:
    """The stop of ours that this end obeys; None where there is none."""
    # What rang out or was busy by itself in the same moment was not ended by our hang-up.
    return call.stop if report.kind in (Kind.ENDED, Kind.NO_ANSWER, Kind.NOT_FOUND) else None


def _blindly_transferred(call: Call, at: datetime) -> bool:
    transfer = call.transfer
    if transfer is None:
        return call.transferred
    if transfer.bridged_at is not None or transfer.completed_at is None:
        return False
    return at - transfer.completed_at <= BLIND_COLLAPSE
