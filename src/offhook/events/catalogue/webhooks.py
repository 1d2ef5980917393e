"""Events about webhook endpoints. They are told to every endpoint but the one they speak of; a test, to that one only."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal

from offhook import ids
from offhook.events.fact import Fact, Transition


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointFact(Fact):
    subject_type: ClassVar[str] = "webhook_endpoint"
    subject_prefix: ClassVar[ids.Prefix] = "whe"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEndpointCreated(EndpointFact):
    """A new endpoint; unless it still waits for its test, it is told of everything from here on."""

    type: ClassVar[str] = "webhook_endpoint.created"
    example: ClassVar = {"status": "active", "events": ["lead.*", "call.ended"]}

    status: str
    events: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEndpointUpdated(EndpointFact):
    """Settings or state of the endpoint changed; `changed` names the fields."""

    type: ClassVar[str] = "webhook_endpoint.updated"
    example: ClassVar = {"changed": ["url"]}

    changed: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEndpointDeleted(EndpointFact):
    """The endpoint is gone; what was still open for it is discarded. `deliveries_discarded` is counted to 100,000."""

    type: ClassVar[str] = "webhook_endpoint.deleted"
    example: ClassVar = {"deliveries_discarded": 3}

    deliveries_discarded: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEndpointDisabled(EndpointFact):
    """Nothing is sent to the endpoint any more; its events are held until somebody enables it."""

    type: ClassVar[str] = "webhook_endpoint.disabled"
    example: ClassVar = {"reason": "gone"}
    example_transition: ClassVar = Transition("status", "active", "disabled", "gone")

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEndpointEnabled(EndpointFact):
    """The endpoint is told of events again. `held` says what becomes of those that waited, `deliveries` how many, counted to 100,000."""

    type: ClassVar[str] = "webhook_endpoint.enabled"
    example: ClassVar = {"held": "send", "deliveries": 12}
    example_transition: ClassVar = Transition("status", "disabled", "active", "by_request")

    held: str
    deliveries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEndpointSecretRotated(EndpointFact):
    """Every request from here on is signed with a new key; `key` says of which kind: secret, ed25519, second_signature.

    The old one signs beside it until `old_key_expires_at`, by the real clock; null: it signs no more.
    """

    type: ClassVar[str] = "webhook_endpoint.secret_rotated"
    example: ClassVar = {"key": "secret", "old_key_expires_at": "2026-11-22T17:03:34.000Z"}

    key: str
    old_key_expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDeadLettered(EndpointFact):
    """A delivery was given up: it waits among the dead letters to be replayed or discarded."""

    type: ClassVar[str] = "webhook.dead_lettered"
    example: ClassVar = {
        "delivery_id": "dlv_01k…",
        "event_id": "evt_01k…",
        "event_type": "lead.accepted",
        "tries": 8,
        "reason": "tries_used_up",
        "last_error": "http_503",
    }

    delivery_id: str
    event_id: str
    event_type: str
    tries: int
    reason: str
    last_error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookReplayed(EndpointFact):
    """Deliveries were put on their way again, under their old ids. `delivery_id` is null when there were several."""

    type: ClassVar[str] = "webhook.replayed"
    example: ClassVar = {"deliveries": 1, "delivery_id": "dlv_01k…"}

    deliveries: int
    delivery_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookTest(EndpointFact):
    """Somebody wants to see whether the endpoint hears us. Sent to it whatever it listens to, once, never retried."""

    type: ClassVar[str] = "webhook.test"
    example: ClassVar = {"message": "A test from Offhook."}

    message: str = "A test from Offhook."


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDeliveryAlert(EndpointFact):
    """An endpoint's trouble begins: it fails, was disabled, lags, or has dead letters. `since` when, `detail` a code."""

    type: ClassVar[str] = "webhook.delivery_alert"
    example: ClassVar = {
        "about": "failing",
        "since": "2026-11-21T17:03:22.481Z",
        "count": 1,
        "detail": "failures_in_row",
    }

    about: Literal["failing", "disabled", "lagging", "dead_letters"]
    since: datetime
    count: int
    detail: str
