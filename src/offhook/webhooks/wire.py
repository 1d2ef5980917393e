"""Endpoints and replays as the API takes them, endpoints as it shows them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from offhook import clock, ids
from offhook.http import Wire
from offhook.http.wire import Instant, Metadata
from offhook.webhooks.store import EndpointRow

Held = Literal["send", "discard"]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
Url = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
Globs = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=100)]], Field(min_length=1, max_length=100)
]
Text = Annotated[str, StringConstraints(max_length=1000)]


class EndpointIn(Wire):
    """Where to tell events, and which: `call.ended`, `lead.*`, `*`. Without `activate` it waits for its first test."""

    url: Url
    events: Globs
    description: Text = ""
    external_id: Name | None = None
    metadata: Metadata = {}
    activate: bool = True


class EndpointChange(Wire):
    """What is to be different. An external id, a description and metadata can be cleared by null."""

    url: Url | None = None
    events: Globs | None = None
    description: Text | None = None
    external_id: Name | None = None
    metadata: Metadata | None = None

    def settings(self) -> dict[str, Any]:
        """Every field's new value, where it has one."""
        cleared = {
            "external_id": self.external_id,
            "description": self.description or "",
            "metadata": self.metadata or {},
        }
        needed = {"url": self.url, "events": self.events}
        return {**cleared, **{name: value for name, value in needed.items() if value is not None}}


class Enabling(Wire):
    """What becomes of the events that were held."""

    held: Held = "send"


class ReplayFilter(Wire):
    """Which dead letters: of one endpoint, of types (a glob), that died from one instant to another."""

    endpoint: Name | None = None
    status: Literal["dead"] = "dead"
    type: Annotated[str, StringConstraints(min_length=1, max_length=100)] = "*"
    from_: Annotated[Instant | None, Field(alias="from")] = None
    to: Instant | None = None


class ReplaysIn(Wire):
    """What to replay."""

    filter: ReplayFilter


def endpoint_shown(row: EndpointRow) -> dict[str, Any]:
    """The endpoint as the API shows it; its secret never."""
    return {
        "id": ids.show("whe", row.id),
        "object": "webhook_endpoint",
        "external_id": row.external_id,
        "url": row.url,
        "events": row.events,
        "description": row.description,
        "status": row.status,
        "status_reason": row.status_reason,
        "failures_in_row": row.failures_in_row,
        "failing_since": clock.show_or_null(row.failing_since),
        "metadata": row.metadata,
        "version": row.version,
        **_times(row.created_at, row.updated_at),
    }


def _times(created_at: datetime, updated_at: datetime) -> dict[str, str]:
    return {"created_at": clock.show(created_at), "updated_at": clock.show(updated_at)}
