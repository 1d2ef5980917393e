"""Events about alerts: somebody was told that webhook endpoints are in trouble."""

from dataclasses import dataclass
from typing import Any, ClassVar

from offhook import ids
from offhook.events.fact import Fact


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRaised(Fact):
    """Whoever the alert names was told of this. One that names a webhook endpoint is told to that endpoint by this event."""

    type: ClassVar[str] = "alert.raised"
    subject_type: ClassVar[str] = "alert"
    subject_prefix: ClassVar[ids.Prefix] = "alr"
    example: ClassVar = {
        "name": "On call",
        "to": "slack",
        "text": "- whe_01k… fails since 2026-11-21T17:03:22.481Z, 12 times (failures_in_row).",
        "incidents": [
            {
                "webhook_endpoint_id": "whe_01k…",
                "about": "failing",
                "since": "2026-11-21T17:03:22.481Z",
                "latest_at": "2026-11-21T17:03:22.481Z",
                "count": 12,
                "detail": "failures_in_row",
                "over_at": None,
            }
        ],
    }

    name: str
    to: str
    text: str
    incidents: list[dict[str, Any]]
