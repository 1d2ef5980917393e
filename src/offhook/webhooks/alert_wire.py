"""Alerts as the API takes and shows them."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from offhook import clock, ids
from offhook.http import Wire
from offhook.http.wire import Metadata, Name
from offhook.webhooks.alert_store import AlertRow
from offhook.webhooks.incident_store import About, Incident


def _https(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise PydanticCustomError("bad_url", "This must be the URL of an incoming webhook, beginning with https://.")
    return text


Address = Annotated[str, StringConstraints(min_length=3, max_length=254, pattern=r"^[^@\s,<>]+@[^@\s,<>]+$")]


class ToEmail(Wire):
    """By e-mail, through the operator's mail server."""

    type: Literal["email"]
    addresses: Annotated[list[Address], Field(min_length=1, max_length=20)]


class ToSlack(Wire):
    """To an incoming webhook of Slack, or of what takes the same: `{"text": …}`."""

    type: Literal["slack"]
    url: Annotated[str, StringConstraints(min_length=1, max_length=2048), AfterValidator(_https)]


class ToEndpoint(Wire):
    """To another webhook endpoint, as an `alert.raised`, whatever it listens to."""

    type: Literal["webhook_endpoint"]
    webhook_endpoint_id: Name


To = Annotated[ToEmail | ToSlack | ToEndpoint, Field(discriminator="type")]
Abouts = Annotated[list[About], Field(min_length=1, max_length=4)]
Minutes = Annotated[int, Field(ge=1, le=24 * 60)]
_ALL: list[About] = ["failing", "disabled", "lagging", "dead_letters"]


class AlertIn(Wire):
    """Whom to tell of endpoints in trouble: of what, of which (all where none is named), at most so often."""

    name: Name
    external_id: Name | None = None
    about: Abouts = _ALL
    endpoints: Annotated[list[Name], Field(min_length=1, max_length=100)] | None = None
    to: To
    every_minutes: Minutes = 20
    metadata: Metadata = {}


class AlertChange(Wire):
    """What is to be different."""

    name: Name | None = None
    external_id: Name | None = None
    about: Abouts | None = None
    endpoints: Annotated[list[Name], Field(min_length=1, max_length=100)] | None = None
    to: To | None = None
    every_minutes: Minutes | None = None
    metadata: Metadata | None = None


def alert_shown(row: AlertRow, to: dict[str, Any], incidents: Sequence[Incident]) -> dict[str, Any]:
    """The alert as the API shows it, with what is wrong now of what it is about."""
    return {
        "id": ids.show("alr", row.id),
        "object": "alert",
        "external_id": row.external_id,
        "name": row.name,
        "about": row.about,
        "endpoints": [ids.show("whe", one) for one in row.endpoints] if row.endpoints else None,
        "to": to,
        "every_minutes": row.every_s // 60,
        "last_told_at": clock.show_or_null(row.told_at),
        "last_error": row.last_error,
        "open": [incident_shown(one) for one in incidents if row.concerns(one)],
        "metadata": row.metadata,
        "version": row.version,
        "created_at": clock.show(row.created_at),
        "updated_at": clock.show(row.updated_at),
    }


def incident_shown(one: Incident) -> dict[str, Any]:
    """An endpoint's trouble as the API and `alert.raised` tell it."""
    return {
        "webhook_endpoint_id": ids.show("whe", one.endpoint),
        "about": one.about,
        "since": clock.show(one.since),
        "latest_at": clock.show(one.latest_at),
        "count": one.count,
        "detail": one.detail,
        "over_at": clock.show_or_null(one.over_at),
    }
