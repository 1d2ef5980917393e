"""A lead as a CRM sends it."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from offhook.http import Wire
from offhook.http.wire import Instant

Ref = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
Short = Annotated[str, StringConstraints(max_length=200)]
Text = Annotated[str, StringConstraints(max_length=2000)]
DEEPEST = 32


def spoiled(value: Any) -> str | None:
    """The code of why this decoded JSON cannot be kept: nested too deep to be written again, or NUL in a text."""
    left = [(value, 1)]
    while left:
        one, depth = left.pop()
        if depth > DEEPEST:
            return "nested_too_deep"
        match one:
            case str() if "\0" in one:
                return "unstorable_text"
            case list():
                left += [(item, depth + 1) for item in one]
            case dict():
                left += [(item, depth + 1) for pair in one.items() for item in pair]
    return None


def _shallow(value: Any) -> Any:
    if spoiled(value) == "nested_too_deep":
        raise PydanticCustomError("nested_too_deep", "Nest metadata less deep.")
    return value


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
    metadata: Annotated[dict[Short, Any], Field(max_length=50), AfterValidator(_shallow)] = {}
