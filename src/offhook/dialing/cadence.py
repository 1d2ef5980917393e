"""The cadence's decisions, pure: what an ended call means for the lead, and when the next attempt is due."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

Outcome = Literal[
    "transferred", "qualified", "not_qualified", "opt_out", "no_answer", "busy", "voicemail", "hung_up", "invalid_number", "failed",
]  # fmt: skip
Action = Literal["retry", "stop"]

DAY = timedelta(hours=24)
EARLY_HANGUP_S = 10
_NUMBER_IS_DEAD = {"invalid_number"}
_FAILED = {
    "carrier_error",
    "engine_error",
    "provider_error",
    "unreachable",
    "rejected",
    "blocked",
    "capacity",
    "watchdog",
    "unknown",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """What an outcome leads to; `after` replaces the cadence's own gap."""

    action: Action
    after: timedelta | None = None


_DEFAULTS: dict[str, Rule] = {
    "transferred": Rule("stop"),
    "qualified": Rule("retry"),
    "not_qualified": Rule("stop"),
    "opt_out": Rule("stop"),
    "no_answer": Rule("retry"),
    "busy": Rule("retry", timedelta(minutes=30)),
    "voicemail": Rule("retry"),
    "hung_up": Rule("retry"),
    "invalid_number": Rule("stop"),
    "failed": Rule("retry"),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """One version of a cadence. `gaps[0]` is the wait before the first attempt; the last gap repeats."""

    gaps: tuple[timedelta, ...] = (timedelta(0), timedelta(hours=4), timedelta(hours=24))
    attempts_per_day: int = 3
    attempts_in_all: int = 3
    rules: dict[str, Rule] = field(default_factory=dict)

    def rule(self, outcome: Outcome) -> Rule:
        """What this outcome leads to. Nobody who opted out is ever retried, whatever the cadence says."""
        return _DEFAULTS["opt_out"] if outcome == "opt_out" else self.rules.get(outcome, _DEFAULTS[outcome])

    def gap_before(self, n: int) -> timedelta:
        """The wait before the nth attempt, counted from 1."""
        return self.gaps[min(n - 1, len(self.gaps) - 1)]


@dataclass(frozen=True, slots=True)
class Next:
    """Attempt `n`, not before `due_at`."""

    n: int
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Over:
    """No attempt follows."""

    why: Literal["stopped", "exhausted"]


def after_attempt(plan: Plan, served: int, outcome: Outcome, now: datetime, dialed: Sequence[datetime]) -> Next | Over:
    """What follows the attempt that was number `served`.

    `dialed` are the instants at which this lead was dialed. The cap per day counts rolling 24 hours of elapsed time,
    so a day of 23 or 25 hours changes nothing.
    """
    rule = plan.rule(outcome)
    if rule.action == "stop":
        return Over("stopped")
    if served >= plan.attempts_in_all:
        return Over("exhausted")
    due_at = now + (rule.after if rule.after is not None else plan.gap_before(served + 1))
    return Next(served + 1, day_has_room(plan.attempts_per_day, dialed, due_at))


def day_has_room(per_day: int, dialed: Sequence[datetime], at: datetime) -> datetime:
    """The earliest instant from `at` on with fewer than `per_day` dials in the 24 hours before it."""
    recent = sorted(instant for instant in dialed if instant > at - DAY)
    return at if len(recent) < per_day else recent[-per_day] + DAY


def outcome_of(
    *,
    end_reason: str,
    answered: bool,
    voicemail: bool,
    transferred: bool,
    qualified: bool,
    opted_out: bool,
    talk_s: float,
) -> Outcome:
    """What the ended call means to the lead's cadence."""
    if opted_out:
        return "opt_out"
    if transferred:
        return "transferred"
    if qualified:
        return "qualified"
    if voicemail:
        return "voicemail"
    if answered:
        return "hung_up" if talk_s < EARLY_HANGUP_S or end_reason in _FAILED else "not_qualified"
    if end_reason in _NUMBER_IS_DEAD:
        return "invalid_number"
    if end_reason in ("busy", "no_answer"):
        return "busy" if end_reason == "busy" else "no_answer"
    return "failed"
