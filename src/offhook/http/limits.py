"""Rate limits: a token bucket per API key, exact over all processes, with no SQL on most requests.

The bucket stands in the database. A process leases a tenth of a second's tokens at a time and spends them from memory.
Tokens in hand and in the bucket together never exceed the burst: as the bucket refills towards it, what is still in hand
is given up. So over any span of t seconds, all processes together let at most burst + rate·t requests through; they may
stop a few early, never late.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from uuid import UUID

from offhook.errors import TooMany
from offhook.http.door import Caller

BLOCKS_PER_S = 10


@dataclass(frozen=True, slots=True)
class Lease:
    """What the bucket gave: whole tokens to spend, and what is left in it (less than one when it gave none)."""

    granted: int
    left: float


@dataclass(frozen=True, slots=True)
class Allowance:
    """A request may pass. What its answer tells about the limit."""

    limit: int
    remaining: int
    reset_s: int


@dataclass(slots=True)
class _Purse:
    """The tokens of one key that this process holds."""

    tokens: int = 0
    in_bucket: float = 0.0
    filled_at: float = 0.0
    empty_until: float = 0.0
    filling: asyncio.Lock = field(default_factory=asyncio.Lock)

    def good(self, who: Caller, now: float) -> int:
        """How many of the tokens in hand may still be spent."""
        in_bucket_by_now = self.in_bucket + who.rate_per_s * (now - self.filled_at)
        return min(self.tokens, int(who.burst - in_bucket_by_now))


class Limits:
    """The purses of this process. `lease(caller, most)` takes up to `most` whole tokens from the caller's bucket."""

    def __init__(
        self,
        lease: Callable[[Caller, int], Awaitable[Lease]],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lease = lease
        self._monotonic = monotonic
        self._purses: dict[UUID, _Purse] = {}

    def spend(self, who: Caller) -> Allowance | None:
        """Pay for one request from what is in hand; None when the bucket must be asked. Raises TooMany."""
        purse = self._purses.get(who.key_id)
        if purse is None:
            purse = self._purses[who.key_id] = _Purse()
        now = self._monotonic()
        if now < purse.empty_until:
            raise _too_many(who, purse.empty_until - now)
        good = purse.good(who, now)
        if good < 1:
            return None
        purse.tokens = good
        return _pay(who, purse)

    async def take(self, who: Caller) -> Allowance:
        """Pay for one request, from the bucket when need be. Raises TooMany, or Unavailable when it cannot be asked."""
        if (allowance := self.spend(who)) is not None:
            return allowance
        purse = self._purses[who.key_id]
        async with purse.filling:
            if (allowance := self.spend(who)) is not None:  # another request asked while this one waited
                return allowance
            await self._fill(who, purse)
            return _pay(who, purse)  # the request that asked is paid for at the instant of the lease

    async def _fill(self, who: Caller, purse: _Purse) -> None:
        asked_at = self._monotonic()
        lease = await self._lease(who, max(1, who.rate_per_s // BLOCKS_PER_S))
        # By the time before the question was sent, so that the road to the database never makes a token last longer.
        purse.tokens, purse.in_bucket, purse.filled_at = lease.granted, lease.left, asked_at
        if lease.granted == 0:
            wait_s = (1 - lease.left) / who.rate_per_s
            purse.empty_until = self._monotonic() + wait_s
            raise _too_many(who, wait_s)


def _pay(who: Caller, purse: _Purse) -> Allowance:
    purse.tokens -= 1
    remaining = purse.tokens + int(purse.in_bucket)
    return Allowance(who.burst, remaining, math.ceil((who.burst - remaining) / who.rate_per_s))


def _too_many(who: Caller, wait_s: float) -> TooMany:
    detail = f"This key may make {who.rate_per_s} requests a second (bursts of {who.burst}); wait, or send batches."
    return TooMany("rate_limited", detail, retry_after_s=max(1, math.ceil(wait_s)))
