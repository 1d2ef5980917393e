"""What the CRM behind the receiver says back: conversions for a share of the transfers, one DNC, one reconnect."""

from collections.abc import Mapping
from typing import Any

from offhook.demo.store import Processed

EVERY = 3
"""One transfer in so many ends in a sale."""


class Crm:
    """Decides, event by event, what to post back."""

    def __init__(self) -> None:
        self._bridged = 0
        self._wanted = {"dnc", "reconnect"}

    def hears(self, event: Processed) -> Mapping[str, Any] | None:
        """The post-back that follows this event, if one does. Told the same event once only."""
        if event.lead is None:
            return None
        if event.type == "transfer.completed":
            self._bridged += 1
            if self._bridged % EVERY == 1:
                return self._about(event, "conversion", {"value_micros": 129_000_000, "currency": "USD"})
        # A DNC is worth showing while attempts are planned, a reconnect once a cadence is over.
        if event.type == "lead.attempted" and event.data["next_action"] == "retry":
            return self._once(event, "dnc")
        if event.type == "lead.disqualified":
            return self._once(event, "reconnect")
        return None

    def _once(self, event: Processed, kind: str) -> Mapping[str, Any] | None:
        if kind not in self._wanted:
            return None
        self._wanted.discard(kind)
        return self._about(event, kind, {})

    def _about(self, event: Processed, kind: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"type": kind, "client_ref_id": event.lead, "external_ref": f"{kind}:{event.event_id}", "data": data}
