"""What one request says: body and headers, signed; and the same headers as they may be shown.

The body is byte for byte what it was on the last try. The one exception is the person who was erased since: in place of
their event goes its tombstone.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import orjson

from offhook import ids
from offhook.events.tombstone import tombstone
from offhook.webhooks.directory import Endpoint
from offhook.webhooks.parcel import Parcel
from offhook.webhooks.rendering import JSON, USUAL_HEADERS, Rendered, Rendering

USER_AGENT = "Offhook"
_MASKED = "***"


class Heading(NamedTuple):
    """What a try's headers tell of itself."""

    webhook_id: str
    timestamp: int
    delivery: UUID | None
    """None for a batch, whose deliveries are many."""
    n: int
    replay: bool
    tombstone: bool
    out_of_order: bool = False

    def headers(self, signature: str) -> dict[str, str]:
        """Every header that all endpoints get, but for the type of the content."""
        headers = {
            "user-agent": USER_AGENT,
            "webhook-id": self.webhook_id,
            "webhook-timestamp": str(self.timestamp),
            "webhook-signature": signature,
            "offhook-try": str(self.n),
        }
        if self.delivery is not None:
            headers["offhook-delivery-id"] = ids.show("dlv", self.delivery)
        if self.replay:
            headers["offhook-replay"] = "1"
        if self.tombstone:
            headers["offhook-tombstone"] = "1"
        if self.out_of_order:
            headers["offhook-out-of-order"] = "1"
        return headers


@dataclass(frozen=True, slots=True)
class Letter:
    """A request ready to be sent. `buried` are the deliveries in it that are told as tombstones."""

    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    buried: Collection[UUID]
    shown: Mapping[str, str] | None
    """The headers with every secret masked; None where they are the usual ones, which can be told without being kept."""


def write(
    endpoint: Endpoint,
    parcels: Sequence[Parcel],
    wall: datetime,
    *,
    proof: Mapping[str, str],
    erased: Collection[UUID],
) -> Letter:
    """What these parcels say to their endpoint at this moment.

    `proof` are the headers of its credentials, `erased` the persons who were erased while their events waited here.
    """
    said = [_said(endpoint.rendering, parcel, erased) for parcel in parcels]
    buried = {parcel.delivery for parcel, (is_tombstone, _) in zip(parcels, said, strict=True) if is_tombstone}
    head = parcels[0]
    bound = head.batch
    if bound is None:
        rendered = said[0][1]
    else:
        rendered = together(bound, endpoint.rendering, [one.body for _, one in said])
    webhook_id = head.message.shown_id if bound is None else ids.show("bat", bound)
    timestamp = int(wall.timestamp())
    heading = Heading(
        webhook_id,
        timestamp,
        head.delivery if bound is None else None,
        head.tries,
        any(parcel.replay for parcel in parcels),
        bool(buried) and bound is None,
        any(parcel.out_of_order for parcel in parcels),
    )
    signatures = endpoint.signer_at(wall).headers(webhook_id, timestamp, rendered.body)
    ours = {**rendered.headers, **heading.headers(signatures["webhook-signature"]), **signatures}
    headers = {**endpoint.settings.headers, **ours, **proof}
    usual = endpoint.usual and bound is None and " " not in signatures["webhook-signature"]  # by one key alone
    shown = None if usual else _shown(headers, signatures, proof)
    return Letter(rendered.body, headers, buried, shown)


def together(batch: UUID, rendering: Rendering, bodies: Sequence[bytes]) -> Rendered:
    """Several events in one body: a CloudEvents batch for who wants CloudEvents, else an object of ours."""
    joined = b",".join(bodies)
    if rendering.format == "cloudevents_structured":
        return Rendered({"content-type": "application/cloudevents-batch+json"}, b"[" + joined + b"]")
    head = orjson.dumps({"object": "batch", "batch_id": ids.show("bat", batch)})[:-1]
    return Rendered({"content-type": JSON}, head + b',"events":[' + joined + b"]}")


def usual_headers(heading: Heading) -> dict[str, str]:
    """The headers of a try of which none were kept, its signature masked."""
    return {**USUAL_HEADERS, **heading.headers(f"v1,{_MASKED}")}


def _said(rendering: Rendering, parcel: Parcel, erased: Collection[UUID]) -> tuple[bool, Rendered]:
    """Whether it is a tombstone, and what is said."""
    message = parcel.message
    if message.rendered is not None and message.person not in erased:
        return False, message.rendered
    envelope = tombstone(
        message.id,
        message.type,
        message.subject_type,
        message.subject_shown_id,
        message.sequence,
        message.occurred_at,
        parcel.tenant,
    )
    bare = Rendering(rendering.format, rendering.names)
    return True, bare.render(envelope, {}, lambda value: value)


def _shown(headers: Mapping[str, str], signatures: Mapping[str, str], proof: Mapping[str, str]) -> dict[str, str]:
    masked = dict.fromkeys((*signatures, *proof), _MASKED)
    masked["webhook-signature"] = " ".join(
        f"{one.partition(',')[0]},{_MASKED}" for one in signatures["webhook-signature"].split()
    )
    return {**headers, **masked}
