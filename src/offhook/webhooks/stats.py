"""How an endpoint fares, in figures."""

from typing import Any
from uuid import UUID

from offhook import clock, ids
from offhook.db import Tx
from offhook.webhooks import delivery_store

_MOST = 1000


async def stats(tx: Tx, endpoint: UUID) -> dict[str, Any]:
    """What waits for the endpoint and how its latest deliveries went; each counted up to `counted_to`."""
    found = await delivery_store.figures(tx, endpoint, _MOST)
    return {
        "object": "webhook_endpoint_stats",
        "webhook_endpoint_id": ids.show("whe", endpoint),
        "counted_to": _MOST,
        "open": {"pending": found.pending, "retrying": found.retrying, "held": found.held},
        "oldest_open_at": clock.show_or_null(found.oldest_open_at),
        "latest": {
            "delivered": found.delivered,
            "tries": found.tries,
            "failed_tries": found.failed_tries,
            "p50_ms": found.p50_ms,
            "p99_ms": found.p99_ms,
        },
    }
