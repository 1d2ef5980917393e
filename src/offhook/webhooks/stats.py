"""How an endpoint fares, in figures that were added up as its tries were recorded: nothing is counted when asked."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID

from offhook import clock, ids
from offhook.db import Tx
from offhook.webhooks import aggregates_store, histogram
from offhook.webhooks.aggregates_store import Figures, Grain

Window = Literal["5m", "1h", "24h", "7d"]
_MOST = 1000


class Span(NamedTuple):
    """What a window is made of."""

    lasts: timedelta
    grain: Grain
    step: timedelta

    def starts(self, now: datetime) -> list[datetime]:
        """When its minutes or hours begin; the last one is not over yet."""
        last = now.replace(second=0, microsecond=0)
        if self.grain == "hour":
            last = last.replace(minute=0)
        return [last - n * self.step for n in range(self.lasts // self.step, -1, -1)]


_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)
SPANS: dict[Window, Span] = {
    "5m": Span(timedelta(minutes=5), "minute", _MINUTE),
    "1h": Span(timedelta(hours=1), "minute", _MINUTE),
    "24h": Span(timedelta(hours=24), "hour", _HOUR),
    "7d": Span(timedelta(days=7), "hour", _HOUR),
}


async def stats(tx: Tx, endpoint: UUID, window: Window = "1h") -> dict[str, Any]:
    """How its tries went within the window, as of a second ago, and what waits for it, counted up to `counted_to`.

    The window is of the real clock and begins with a whole minute or hour: see `from`. Percentiles are at most
    `percentiles_within` (a share) off.
    """
    span = SPANS[window]
    starts = span.starts(tx.wall)
    figures = await aggregates_store.read(tx, endpoint, span.grain, starts[0])
    waits = await aggregates_store.backlog(tx, endpoint, _MOST)
    return {
        "object": "webhook_endpoint_stats",
        "webhook_endpoint_id": ids.show("whe", endpoint),
        "window": window,
        "from": clock.show(starts[0]),
        "to": clock.show(tx.wall),
        **summary(figures),
        "percentiles_within": round(histogram.WITHIN, 3),
        "series": {"step_s": int(span.step.total_seconds()), "points": series(starts, figures)},
        "open": {"pending": waits.pending, "retrying": waits.retrying, "held": waits.held},
        "counted_to": _MOST,
        "oldest_open_at": clock.show_or_null(waits.oldest_open_at),
    }


def summary(figures: Sequence[Figures]) -> dict[str, Any]:
    """All of them as one. Pure."""
    tries, delivered = sum(one.tries for one in figures), sum(one.delivered for one in figures)
    return {
        "tries": tries,
        "delivered": delivered,
        "failed": sum(one.failed for one in figures),
        "dead": sum(one.dead for one in figures),
        "success_rate": round(delivered / tries, 4) if tries else None,
        "total_ms": _quantiles(one.total for one in figures),
        "propagation_ms": _quantiles(one.propagation for one in figures),
    }


def series(starts: Sequence[datetime], figures: Sequence[Figures]) -> list[dict[str, Any]]:
    """A point for each start, also where nothing happened. Pure."""
    by_start: dict[datetime, list[Figures]] = defaultdict(list)
    for one in figures:
        by_start[one.at].append(one)
    return [{"at": clock.show(start), **_point(by_start[start])} for start in starts]


def _point(figures: Sequence[Figures]) -> dict[str, Any]:
    whole = summary(figures)
    point = {name: whole[name] for name in ("tries", "delivered", "failed", "dead")}
    return {**point, "p50_ms": whole["total_ms"]["p50"], "p99_ms": whole["total_ms"]["p99"]}


def _quantiles(histograms: Any) -> dict[str, float | None]:
    whole = histogram.summed(histograms)
    told = {name: histogram.quantile(whole, share) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}
    return {name: None if ms is None else round(ms, 3) for name, ms in told.items()}
