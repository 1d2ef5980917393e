"""Quantiles out of a Prometheus histogram: exact to the width of its buckets, and told as the upper edge of one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_LINE = re.compile(r'^(\w+)_bucket\{(?:.*,)?le="([^"]+)"[^}]*\} (\S+)$')


@dataclass(frozen=True, slots=True)
class Buckets:
    """How many observations were at most each edge."""

    up_to: Mapping[float, float]

    def since(self, earlier: "Buckets") -> "Buckets":
        """The observations between two readings."""
        return Buckets({edge: count - earlier.up_to.get(edge, 0) for edge, count in self.up_to.items()})


def read_buckets(exposition: str, name: str) -> Buckets:
    """The buckets of the histogram `name`, its labels added up."""
    up_to: dict[float, float] = {}
    for line in exposition.splitlines():
        if (found := _LINE.match(line)) and found[1] == name:
            edge = float(found[2].replace("+Inf", "inf"))
            up_to[edge] = up_to.get(edge, 0) + float(found[3])
    return Buckets(up_to)


def quantiles(buckets: Buckets) -> dict[str, float]:
    """p50, p99 and max: each the upper edge of the bucket in which it lies; 0 when nothing was observed."""
    edges = sorted(buckets.up_to)
    total = buckets.up_to[edges[-1]] if edges else 0
    return {name: _edge(buckets, edges, share * total) for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))}


def _edge(buckets: Buckets, edges: list[float], rank: float) -> float:
    return next((edge for edge in edges if rank and buckets.up_to[edge] >= rank), 0.0)
