"""What became of a job, and when a failed one runs again."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

FIRST_S = 5
MOST_S = 3600


@dataclass(frozen=True, slots=True)
class Done:
    """It happened."""


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Not yet: run again at `when` (the environment's time). Waiting is not a failure and has no limit."""

    when: datetime
    why: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It will never happen; `why` goes to the log."""

    why: str


Outcome = Done | RetryAt | GiveUp


def backoff(failures: int, rng: random.Random) -> timedelta:
    """How long after the nth failure a job waits: doubling from five seconds to an hour, lengthened by up to a fifth."""
    gap = min(MOST_S, FIRST_S * 2 ** min(failures - 1, 16))
    return timedelta(seconds=gap * (1 + rng.random() / 5))
