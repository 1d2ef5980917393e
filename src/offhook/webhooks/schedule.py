"""When a delivery is tried again, and when it is over. Pure: the time and the dice come as arguments.

A try ends `Delivered`, `TryAgain` or `Refused`. The usual gaps are 0, 1 m, 5 m, 1 h, 2 h, 4 h, 8 h and 8 h 54 m: eight
tries, the last at least 24 hours after the first. Jitter and Retry-After lengthen a gap, nothing shortens one. A
delivery is dead when its tries are spent, or 48 hours after the first one, whatever its count.
"""

import random
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Literal

from offhook.outbound import Answer, NoAnswer

Disabling = Literal["gone", "asked_by_receiver"]

LONGEST_LIFE = timedelta(hours=48)
LONGEST_RETRY_AFTER = timedelta(days=1)
MOST_TRIES = 50
BUSY = frozenset({429, 502, 503, 504})
"""Answers that ask us to slow down."""
_JITTER = 0.1
_NOTHING = timedelta()
_SECONDS = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long to wait before each try, the first included, and how many tries there are; more repeat the last gap.

    Raises ValueError for an empty or negative gap and for other than 1 to 50 tries.
    """

    gaps: tuple[timedelta, ...]
    tries: int

    def __post_init__(self) -> None:
        if not self.gaps or min(self.gaps) < _NOTHING:
            raise ValueError("a schedule needs gaps, none of them negative")
        if not 1 <= self.tries <= MOST_TRIES:
            raise ValueError(f"tries must be from 1 to {MOST_TRIES}")


DEFAULT = Schedule(tuple(timedelta(minutes=minutes) for minutes in (0, 1, 5, 60, 120, 240, 480, 534)), tries=8)


@dataclass(frozen=True, slots=True)
class Spent:
    """There is no next try: they are used up, or the delivery grew too old."""

    reason: Literal["tries_used_up", "too_old"]


@dataclass(frozen=True, slots=True)
class Progress:
    """What a delivery has behind it; both instants on the clock of its environment."""

    tries_made: int
    first_try_at: datetime
    now: datetime


def next_try(
    so_far: Progress, dice: random.Random, schedule: Schedule = DEFAULT, retry_after: timedelta = _NOTHING
) -> datetime | Spent:
    """When the next try is due, counted from `so_far.now`. `retry_after` is heard up to one day."""
    if so_far.tries_made >= schedule.tries:
        return Spent("tries_used_up")
    gap = schedule.gaps[min(so_far.tries_made, len(schedule.gaps) - 1)]
    due = so_far.now + max(gap * (1 + _JITTER * dice.random()), min(retry_after, LONGEST_RETRY_AFTER))
    return due if due <= so_far.first_try_at + LONGEST_LIFE else Spent("too_old")


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver took it."""


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Not this time. `why` is a stable code; `retry_after` what the receiver asked for, zero when it asked for nothing."""

    why: str
    retry_after: timedelta = _NOTHING


@dataclass(frozen=True, slots=True)
class Refused:
    """Never."""

    why: str


def judge(outcome: Answer | NoAnswer, wall: datetime, final: Collection[int] = ()) -> Delivered | TryAgain | Refused:
    """What a try came to. `final` lists the 4xx that this endpoint means for good; `wall` is the real clock.

    Any 2xx is delivered. Final are 410, what is listed, and what the receiver asks to be spared
    (`webhook-delivery: abort-message`). All else is tried again, a redirect too: nobody follows it.
    """
    if isinstance(outcome, NoAnswer):
        return TryAgain(outcome.code)
    status = outcome.status
    if 200 <= status < 300:
        return Delivered()
    why = f"http_{status}"
    if status == 410 or (400 <= status < 500 and status in final):
        return Refused(why)
    if _wish(outcome) == "abort-message":
        return Refused("aborted_by_receiver")
    if status in BUSY:
        return TryAgain(why, read_retry_after(outcome.headers.get("retry-after", ""), wall))
    return TryAgain(why)


def disabling(outcome: Answer | NoAnswer) -> Disabling | None:
    """Why nothing more is to be sent to this receiver: it said 410, or `webhook-delivery: disable`, whatever its status."""
    if isinstance(outcome, NoAnswer):
        return None
    if outcome.status == 410:
        return "gone"
    return "asked_by_receiver" if _wish(outcome) == "disable" else None


def _wish(answer: Answer) -> str:
    return answer.headers.get("webhook-delivery", "").strip().lower()


def read_retry_after(text: str, wall: datetime) -> timedelta:
    """How long a Retry-After header asks to wait, in seconds or as an HTTP date: zero to one day, zero for nonsense."""
    asked = text.strip()
    if _SECONDS.fullmatch(asked):
        # Ten digits are past a day already, and Python refuses to read thousands of them.
        return min(timedelta(seconds=int(asked.lstrip("0")[:10] or 0)), LONGEST_RETRY_AFTER)
    try:
        until = parsedate_to_datetime(asked)
    except (ValueError, OverflowError, IndexError, TypeError):
        return _NOTHING
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return min(max(until - wall, _NOTHING), LONGEST_RETRY_AFTER)
