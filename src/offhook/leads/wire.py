"""A lead as a CRM sends it."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from offhook.http import Wire
from offhook.http.wire import Instant, Keepable

Ref = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
Short = Annotated[str, StringConstraints(max_length=200)]
Text = Annotated[str, StringConstraints(max_length=2000)]


class Address(Wire):
    street: Text | None = None
    city: Short | None = None
    state: Short | None = None
    postal_code: Short | None = None
    country: Short | None = None


class Contact(Wire):
    first_name: Short | None = None
    last_name: Short | None = None
    phone: Annotated[str, StringConstraints(max_length=50)]
    email: Short | None = None
    address: Address | None = None


class Evidence(Wire):
    """What proves the consent."""

    url: Text | None = None
    text_sha256: Short | None = None
    ip: Short | None = None
    certificate: Text | None = None


class Consent(Wire):
    """What the person agreed to, when, and for which channel."""

    channel: Literal["voice", "sms", "email"]
    purpose: Literal["marketing", "transactional", "informational"] = "marketing"
    tier: Literal["express", "written"] = "written"
    artificial_voice: bool = False
    given_at: Instant
    seller_id: Short | None = None
    evidence: Evidence | None = None


class LeadIn(Wire):
    """Only `client_ref_id` and `contact.phone` are required; without `campaign_id` the default campaign takes it."""

    client_ref_id: Ref
    campaign_id: Short | None = None
    contact: Contact
    consent: Annotated[list[Consent], Field(max_length=20)] = []
    visitor: Annotated[dict[Short, Text | None], Field(max_length=50)] = {}
    merge_fields: Annotated[dict[Short, Text], Field(max_length=50)] = {}
    metadata: Annotated[dict[Short, Any], Field(max_length=50), Keepable] = {}
