"""Durations counted in buckets that grow by a fifth, so that sums of many processes and minutes still tell a quantile.

A quantile is interpolated within its bucket, so it is at most `WITHIN` (19 %) off, below a quarter of a millisecond at
most that. What took longer than the last bound (over 18 hours) is told as that bound. Pure.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

WITHIN = 2**0.25 - 1
BOUNDS = tuple(0.25 * 2 ** (k / 4) for k in range(113))
"""Milliseconds. Bucket n holds what is at least bound n-1 and below bound n; the last one everything from there on."""

Counts = list[int]
"""How many durations each bucket holds; buckets after the last that holds something may be left out."""


def count(counts: Counts, ms: float) -> None:
    """Count this duration in."""
    bucket = bisect_right(BOUNDS, ms)
    if bucket >= len(counts):
        counts += [0] * (bucket + 1 - len(counts))
    counts[bucket] += 1


def add(counts: Counts, more: Sequence[int]) -> None:
    """Add up bucket by bucket."""
    if len(more) > len(counts):
        counts += [0] * (len(more) - len(counts))
    for bucket, n in enumerate(more):
        counts[bucket] += n


def summed(histograms: Iterable[Sequence[int]]) -> Counts:
    """All of them as one."""
    whole: Counts = []
    for one in histograms:
        add(whole, one)
    return whole


def quantile(counts: Sequence[int], share: float) -> float | None:
    """The milliseconds below which this share (0 to 1) of what was counted lies; None when nothing was counted."""
    whole = sum(counts)
    if not whole:
        return None
    rank, before = share * whole, 0
    for bucket, n in enumerate(counts):
        if n and before + n >= rank:
            return _within(bucket, max(rank - before, 0.0) / n)
        before += n
    raise AssertionError("a rank beyond everything that was counted")


def _within(bucket: int, part: float) -> float:
    if bucket >= len(BOUNDS):
        return BOUNDS[-1]
    low = BOUNDS[bucket - 1] if bucket else 0.0
    return low + (BOUNDS[bucket] - low) * part
