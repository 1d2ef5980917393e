"""What the lane counts, for Prometheus. A label is never an id."""

from prometheus_client import Counter, Gauge, Histogram

from offhook.webhooks.parcel import Again, Closed, Dead, Left, Try
from offhook.webhooks.schedule import Delivered

commit_to_wire_ms = Histogram(
    "offhook_webhook_commit_to_wire_ms",
    "Milliseconds from an event's commit (or the claim of its delivery) to the start of its request.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 50, 100, 250, 500, 1000, 5000, 30_000),
)
undecided = Counter(
    "offhook_webhook_filters_undecided", "Events told to an endpoint because its filter could not decide about them."
)
_results = Counter("offhook_webhook_results", "What became of deliveries in the hands of this process.", ["outcome"])
# Looking a label up costs more than counting.
results = {kind: _results.labels(kind.__name__.lower()) for kind in (Delivered, Again, Dead, Closed, Left)}

_request_ms = Histogram(
    "offhook_webhook_request_ms",
    "Milliseconds of a delivery's request, by the class of its answer; none: there was no answer.",
    ["answer"],
    buckets=(1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000),
)
_by_answer = [_request_ms.labels(answer) for answer in ("none", "1xx", "2xx", "3xx", "4xx", "5xx")]
oldest_due_s = Gauge(
    "offhook_webhook_oldest_due_seconds",
    "For how long the oldest due delivery of the installation is due; every process tells the same, so take the maximum.",
)
endpoints_behind = Gauge(
    "offhook_webhook_endpoints_behind",
    "Endpoints of the installation with something due; every process tells the same, so take the maximum.",
)
in_flight = Gauge("offhook_webhook_in_flight", "Requests to webhook endpoints under way.")
in_memory = Gauge(
    "offhook_webhook_in_memory", "Deliveries in memory: waiting, under way, or with a result that is not yet written."
)
claimed = Counter("offhook_webhook_claimed", "Due deliveries that this process has leased from the database.")
breakers_opened = Counter("offhook_webhook_breakers_opened", "How often an endpoint's breaker has opened.")
owned = Gauge("offhook_webhook_endpoints_owned", "Endpoints that this process alone sends to.")


def request(tried: Try) -> None:
    """Count the request of this try; one that was never made is none."""
    if total := tried.timing_ms[-1]:
        hundreds = (tried.status_code or 0) // 100
        _by_answer[hundreds if hundreds < len(_by_answer) else 0].observe(total)
