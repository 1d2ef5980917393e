"""What the lane counts, for Prometheus. A label is never an id."""

from prometheus_client import Counter, Histogram

from offhook.webhooks.parcel import Again, Closed, Dead, Kept, Left
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
results = {kind: _results.labels(kind.__name__.lower()) for kind in (Delivered, Again, Dead, Closed, Kept, Left)}
