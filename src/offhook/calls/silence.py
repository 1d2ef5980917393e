"""When a call has been silent for too long, and what to do about it. Pure.

requested    asked about as soon as nobody is placing it any more
ringing      past its ring time-out and 15 s: asked about
answered     every 120 s without a word: asked about
to be ended  asked about every 15 s, and hung up again as long as it lives
any          past its longest duration and 60 s (unanswered: past its ring time-out and 5 min): cut off
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from offhook.calls.call import Call

RING_GRACE = timedelta(seconds=15)
QUIET = timedelta(seconds=120)
OVERDUE = timedelta(seconds=60)
UNANSWERED_MOST = timedelta(minutes=5)
SOON = timedelta(seconds=15)
IN_FLIGHT = timedelta(seconds=5)
TARGET_GRACE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before `until`."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the platform; `cut` when it is to be ended whatever the answer. Look again at `until`."""

    until: datetime
    cut: bool


@dataclass(frozen=True, slots=True)
class Over:
    """The call ended; nobody need look again."""


def look(
    call: Call, *, heard_at: datetime, placing_until: datetime | None, now: datetime, wall: datetime
) -> Wait | Ask | Over:
    """What a look at this call at `now` says; `heard_at` is when it last changed."""
    if call.over:
        return Over()
    if placing_until is not None and placing_until > wall:
        return Wait(now + IN_FLIGHT)
    last_moment = _last_moment(call)
    if now >= last_moment:
        return Ask(now + SOON, cut=True)
    if call.status == "requested" or call.stop_requested_at is not None:
        return Ask(now + SOON, cut=False)
    if call.status == "answered":
        due = heard_at + QUIET
        return Ask(min(now + QUIET, last_moment), cut=False) if now >= due else Wait(min(due, last_moment))
    due = _rings_until(call) + RING_GRACE
    return Ask(now + SOON, cut=False) if now >= due else Wait(due)


def target_is_silent(call: Call, now: datetime) -> bool:
    """Whether the target of the transfer under way should long have picked up or not."""
    transfer = call.open_transfer
    if transfer is None or transfer.alone_at is not None:
        return False
    return now >= transfer.requested_at + timedelta(seconds=transfer.timeout_s) + TARGET_GRACE


def _rings_until(call: Call) -> datetime:
    since = call.ringing_at or call.placed_at or call.about.started_at
    return since + timedelta(seconds=call.about.ring_timeout_s)


def _last_moment(call: Call) -> datetime:
    if call.answered_at is not None:
        return call.answered_at + timedelta(seconds=call.about.max_duration_s) + OVERDUE
    return call.about.started_at + timedelta(seconds=call.about.ring_timeout_s) + UNANSWERED_MOST
