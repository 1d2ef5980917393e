"""What this process counts, for Prometheus at /metrics. A label is never an id and never personal."""

from prometheus_client import REGISTRY, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

request_seconds = Histogram(
    "offhook_http_request_seconds",
    "Time from the first byte of a request to the last of its answer.",
    ["method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)


def exposition() -> bytes:
    """Everything that is counted, in the text format of Prometheus."""
    return generate_latest(REGISTRY)
