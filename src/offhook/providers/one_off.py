"""One dial, asked for by name: what every door that dials understands. The gate that decides is dialing's."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from offhook import ids
from offhook.db import Tx
from offhook.errors import Fault, Invalid
from offhook.events import Actor
from offhook.http import Answer, Wire

Text = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class OneOff:
    """Who is to be called: a lead (by our id or the customer's own), or a number that has none and becomes an ad-hoc one.

    `reference` is the Idempotency-Key: a number without a lead is known by it. `by` is who asks.
    """

    to: str | None = field(repr=False)
    lead_id: UUID | None
    client_ref_id: str | None
    campaign_id: UUID | None
    account_id: UUID | None
    caller_id: str | None
    mode: Literal["ai_only", "ai_first"] | None
    merge_fields: dict[str, str] = field(repr=False)
    consent: list[dict[str, Any]] = field(repr=False)
    reference: str | None
    by: Actor


DialOne = Callable[[Tx, OneOff], Awaitable[Answer]]
"""Passes the gate that every door passes, and commits to the dial. Raises Conflict `not_allowed` with every code and rule."""


class OneOffIn(Wire):
    """A one-off dial: `to` (E.164), `lead_id` or `client_ref_id`, exactly one of them.

    A number without a lead needs its `consent`, in the form in which a lead bears it.
    """

    to: Text | None = Field(None, repr=False)
    lead_id: Text | None = None
    client_ref_id: Text | None = None
    campaign_id: Text | None = None
    provider_account_id: Text | None = None
    caller_id: Text | None = None
    mode: Literal["ai_only", "ai_first"] | None = None
    merge_fields: Annotated[dict[Text, Text], Field(max_length=50)] = {}
    consent: Annotated[list[dict[str, Any]], Field(max_length=20)] = []

    def asked(self, reference: str | None, by: Actor) -> OneOff:
        """The request in our terms. Raises Invalid for ids that are none, and for a number without an Idempotency-Key."""
        if sum(one is not None for one in (self.to, self.lead_id, self.client_ref_id)) != 1:
            raise Invalid([Fault("to", "whom", "Name exactly one of to, lead_id and client_ref_id.")])
        if self.to is not None and not reference:
            detail = "A number without a lead is known by the Idempotency-Key of its request; send one."
            raise Invalid([Fault("Idempotency-Key", "idempotency_key_required", detail)])
        return OneOff(
            to=self.to,
            lead_id=_id_in("lead", self.lead_id, "lead_id"),
            client_ref_id=self.client_ref_id,
            campaign_id=_id_in("cmp", self.campaign_id, "campaign_id"),
            account_id=_id_in("pac", self.provider_account_id, "provider_account_id"),
            caller_id=self.caller_id,
            mode=self.mode,
            merge_fields=self.merge_fields,
            consent=self.consent,
            reference=reference,
            by=by,
        )


def _id_in(prefix: ids.Prefix, text: str | None, param: str) -> UUID | None:
    """The id that a body names; None when it names none. Raises Invalid."""
    if text is None:
        return None
    try:
        return ids.read(prefix, text)
    except ids.NotAnId as why:
        raise Invalid([Fault(param, "bad_id", f"This is {why}.")]) from None
