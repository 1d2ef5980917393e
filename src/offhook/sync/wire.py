"""Post-backs and opt-outs as a CRM sends them."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from offhook.http import Wire
from offhook.http.wire import Instant, Keepable, Name

Short = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Scope = Literal["seller", "workspace"]


class PostBackIn(Wire):
    """What the CRM did with a lead. Names it by exactly one of `client_ref_id`, `lead_id`, `call_id`, `phone`."""

    type: Literal["conversion", "dnc", "reconnect", "disposition"]
    client_ref_id: Short | None = None
    lead_id: Short | None = None
    call_id: Short | None = None
    phone: Short | None = None
    external_ref: Short | None = None
    occurred_at: Instant | None = None
    data: Annotated[dict[Short, Any], Field(max_length=50), Keepable] = {}

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if sum(bool(x) for x in (self.client_ref_id, self.lead_id, self.call_id, self.phone)) != 1:
            raise ValueError("name the lead by exactly one of client_ref_id, lead_id, call_id, phone")
        return self


class OptOutIn(Wire):
    """Somebody said stop. Names them by exactly one of `phone`, `email`, `lead_id`, `client_ref_id`."""

    channel: Literal["voice", "sms", "email", "web", "crm"]
    phone: Short | None = None
    email: Name | None = None
    lead_id: Short | None = None
    client_ref_id: Short | None = None
    scope: Scope = "seller"
    occurred_at: Instant | None = None
    evidence: Annotated[dict[Short, Any], Field(max_length=20), Keepable] = {}

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if sum(bool(x) for x in (self.phone, self.email, self.lead_id, self.client_ref_id)) != 1:
            raise ValueError("name the person by exactly one of phone, email, lead_id, client_ref_id")
        return self
