"""Whether an endpoint is worth asking at all. Pure; time is any clock that only goes forward, in seconds.

    closed ──FAILURES in a row──▶ open ──its time is up──▶ half open ──PROBES successes──▶ closed
                                   ▲                          │
                                   └────────any failure───────┘ for twice as long

While it is open nothing is sent, so what waits keeps its tries. Half open, a few are let through at once, and each counts.
"""

from dataclasses import dataclass, replace

FAILURES = 5
PROBES = 3
FIRST_S, LONGEST_S = 1.0, 60.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """What the latest tries said. Made anew for every endpoint; changed by `after`."""

    failures: int = 0
    successes: int = 0
    openings: int = 0
    open_until: float | None = None

    def permits(self, now: float) -> int | None:
        """How many requests may be under way; None: it sets no bound."""
        if self.open_until is None:
            return None
        return PROBES if now >= self.open_until else 0

    def closed_for_s(self, now: float) -> float:
        """Seconds until somebody is let through again; zero where it lets through already."""
        return max(self.open_until - now, 0.0) if self.open_until is not None else 0.0

    def after(self, *, works: bool, now: float, asked_s: float = 0.0) -> "Breaker":
        """What it is after a try. `works`: the receiver took the message, or told us never to send this one again.

        `asked_s`: how long it asked to be left alone; heard up to LONGEST_S.
        """
        if works:
            return self._succeeded()
        if self.open_until is None:
            failures = self.failures + 1
            return self._opened(now, asked_s) if failures >= FAILURES else replace(self, failures=failures)
        # Those that were under way when it opened say nothing new.
        return self._opened(now, asked_s) if now >= self.open_until else self

    def _succeeded(self) -> "Breaker":
        if self.open_until is None:
            return CLOSED
        successes = self.successes + 1
        return CLOSED if successes >= PROBES else replace(self, successes=successes)

    def _opened(self, now: float, asked_s: float) -> "Breaker":
        wait = min(max(FIRST_S * 2**self.openings, asked_s), LONGEST_S)
        return Breaker(openings=min(self.openings + 1, 10), open_until=now + wait)


CLOSED = Breaker()
