"""How an endpoint fares, as a pure function of what its receiver said.

    active ──10 failures in a row──▶ failing ──days without success──▶ disabled
      ▲                                │ 2xx
      └────────────────────────────────┘            pending_test ──2xx of a test──▶ active

The days are the endpoint's own setting and count from the first failure of the row, in the environment's time. A paused
or disabled endpoint stays so until somebody enables it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

FAILURES_TO_FAIL = 10


@dataclass(frozen=True, slots=True)
class Health:
    """An endpoint's state and what it rests on; times are the environment's."""

    status: str
    reason: str | None
    failures_in_row: int
    failing_since: datetime | None
    last_success_at: datetime | None

    @property
    def troubled(self) -> bool:
        """Whether a success would change something."""
        return self.failures_in_row > 0 or self.status in ("failing", "pending_test")


def after(health: Health, tries: Sequence[tuple[datetime, bool]], patience: timedelta) -> Health:
    """The health after these tries (when, whether it succeeded), in order; `patience` ends without a success."""
    for at, succeeded in tries:
        health = _after_success(health, at) if succeeded else _after_failure(health, at, patience)
    return health


def disabled(health: Health, reason: str) -> Health:
    """The receiver wants nothing more: nothing is sent until somebody enables it."""
    return health if health.status == "disabled" else replace(health, status="disabled", reason=reason)


def _after_success(health: Health, at: datetime) -> Health:
    recovered = health.status in ("failing", "pending_test")
    return Health("active" if recovered else health.status, None if recovered else health.reason, 0, None, at)


def _after_failure(health: Health, at: datetime, patience: timedelta) -> Health:
    failures, since = health.failures_in_row + 1, health.failing_since or at
    failed = replace(health, failures_in_row=failures, failing_since=since)
    if health.status not in ("active", "failing"):
        return failed
    if at - since >= patience:
        return replace(failed, status="disabled", reason="no_success")
    if failures >= FAILURES_TO_FAIL:
        return replace(failed, status="failing", reason="failures_in_row")
    return failed
