"""Endpoints as the API takes and shows them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from offhook import clock, ids
from offhook.http import Wire
from offhook.http.wire import Metadata, Name
from offhook.webhooks import credentials
from offhook.webhooks.credentials_wire import CredentialsIn
from offhook.webhooks.endpoint_settings import NAMES, EndpointSettings, settings_of
from offhook.webhooks.masks import Mask
from offhook.webhooks.merging import merged
from offhook.webhooks.proofs import Proofs
from offhook.webhooks.rendering import Format, Names
from offhook.webhooks.rotation import LONGEST_OVERLAP, USUAL_OVERLAP, Keys, Ring
from offhook.webhooks.signing import NotASecret, Secret
from offhook.webhooks.store import EndpointRow

Held = Literal["send", "discard"]
KeyKind = Literal["secret", "ed25519", "second_signature"]
Url = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
Globs = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=100)]], Field(min_length=1, max_length=100)
]
Text = Annotated[str, StringConstraints(max_length=1000)]
Pem = Annotated[str, Field(max_length=65_536, repr=False)]


def _a_secret(text: str) -> str:
    try:
        Secret.parse(text)
    except NotASecret as why:
        raise PydanticCustomError("bad_secret", "{why}", {"why": f"{why}."}) from None
    return text


SecretText = Annotated[str, StringConstraints(max_length=200), AfterValidator(_a_secret)]
SecondKeyText = Annotated[str, StringConstraints(max_length=600)]


class TlsIn(Wire):
    """A client certificate with its key, a CA that alone is trusted for this receiver, or both, as PEM."""

    certificate: Pem = ""
    private_key: Pem = ""
    ca: Pem = ""


class EndpointIn(EndpointSettings):
    """Where to tell events, and which: `call.ended`, `lead.*`, `*`. Without `activate` it waits for its first test.

    A `secret` or a `second_signature_key` of another system goes on verifying; without them fresh ones are made.
    `ed25519` adds a v1a signature to every message.
    """

    url: Annotated[Url, Field(repr=False)]
    events: Globs
    description: Text = ""
    external_id: Name | None = None
    metadata: Metadata = {}
    activate: bool = True
    secret: Annotated[SecretText | None, Field(repr=False)] = None
    ed25519: bool = False
    second_signature_key: Annotated[SecondKeyText | None, Field(repr=False)] = None
    authentication: CredentialsIn | None = None
    tls: TlsIn | None = None

    @property
    def settings(self) -> EndpointSettings:
        return EndpointSettings.model_validate(self.model_dump(include=set(NAMES), exclude_unset=True))


class EndpointChange(Wire):
    """What is to be different. Null clears what can be absent, and takes a setting back to its default.

    `masks`, `headers`, `retry`, `batch` and `second_signature` are merged, field by field; `authentication` and `tls` are
    replaced as a whole. A `second_signature_key` takes the old one's place at once; rotate it to have both for a while.
    """

    url: Annotated[Url | None, Field(repr=False)] = None
    events: Globs | None = None
    description: Text | None = None
    external_id: Name | None = None
    metadata: Metadata | None = None
    filter: str | None = None
    format: Format | None = None
    event_names: Names | None = None
    masks: dict[str, Mask | None] | None = None
    headers: dict[str, str | None] | None = None
    second_signature: dict[str, Any] | None = None
    retry: dict[str, Any] | None = None
    timeout_s: int | None = None
    disable_after_days: int | None = None
    rate_limit_per_s: int | None = None
    max_in_flight: int | None = None
    ordering: Literal["none", "per_subject"] | None = None
    batch: dict[str, Any] | None = None
    ed25519: bool | None = None
    second_signature_key: Annotated[SecondKeyText | None, Field(repr=False)] = None
    authentication: CredentialsIn | None = None
    tls: TlsIn | None = None

    def plain(self, sent: frozenset[str]) -> dict[str, Any]:
        """Every field that was sent and is a column of its own, with its new value. Raises Invalid."""
        return merged(EndpointIn, self, sent & {"url", "events", "description", "external_id", "metadata"})

    def patch(self) -> dict[str, Any]:
        """What was sent of the settings."""
        return self.model_dump(mode="json", include=set(NAMES), exclude_unset=True)


class Rotation(Wire):
    """Which key a new one replaces, for how long the old one still signs beside it, and the new one where you bring it."""

    key: KeyKind = "secret"
    overlap_s: Annotated[int, Field(ge=0, le=int(LONGEST_OVERLAP.total_seconds()))] = int(USUAL_OVERLAP.total_seconds())
    secret: Annotated[str | None, Field(max_length=600, repr=False)] = None


class TestIn(Wire):
    """What to test with: `webhook.test`, or a sample of any event type."""

    type: Annotated[str, StringConstraints(min_length=1, max_length=100)] = "webhook.test"


class Enabling(Wire):
    """What becomes of the events that were held."""

    held: Held = "send"


def endpoint_shown(row: EndpointRow, proofs: Proofs, wall: datetime) -> dict[str, Any]:
    """The endpoint as the API shows it; its secrets never. `wall` is the real clock, by which keys retire."""
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
        **settings_of(row.settings).model_dump(mode="json"),
        **_proofs_shown(proofs, wall),
        "metadata": row.metadata,
        "version": row.version,
        "created_at": clock.show(row.created_at),
        "updated_at": clock.show(row.updated_at),
    }


def _proofs_shown(proofs: Proofs, wall: datetime) -> dict[str, Any]:
    keys, identity = proofs.keys, proofs.identity
    return {
        "ed25519_public_key": keys.signing_keys.newest.public if keys.signing_keys else None,
        "retiring_keys": [
            {"key": kind, "expires_at": clock.show(one.expires_at)}
            for kind, ring in _rings(keys)
            for one in ring.retiring
            if one.expires_at > wall
        ],
        "authentication": credentials.shown(proofs.credentials),
        "tls": identity
        and {
            "subject": identity.subject,
            "expires_at": clock.show(identity.expires_at),
            "client_certificate": bool(identity.certificate),
            "own_ca": bool(identity.ca),
        },
    }


def _rings(keys: Keys) -> list[tuple[KeyKind, Ring[Any]]]:
    rings: list[tuple[KeyKind, Ring[Any] | None]] = [
        ("secret", keys.secrets),
        ("ed25519", keys.signing_keys),
        ("second_signature", keys.second),
    ]
    return [(kind, ring) for kind, ring in rings if ring is not None]
