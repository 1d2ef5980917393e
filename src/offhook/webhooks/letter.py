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


@dataclass(slots=True)
class Letter:
    """A request ready to be sent. `buried` are the deliveries in it that are told as tombstones."""

    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    buried: Collection[UUID]
    said: Sequence[Rendered] = field(repr=False)
    """Each event of it by itself."""
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
    if (batch := parcels[0].batch) is not None:
        return _of_batch(batch, endpoint, parcels, wall, proof=proof, erased=erased)
    (parcel,) = parcels
    message, rendered = parcel.message, parcel.message.rendered
    buried = rendered is None or message.person in erased
    if rendered is None or buried:
        rendered = _gravestone(endpoint.rendering, parcel)
    heading = Heading(
        message.shown_id,
        int(wall.timestamp()),
        parcel.delivery,
        parcel.tries,
        parcel.replay,
        buried,
        parcel.out_of_order,
    )
    return _signed(
        endpoint, heading, rendered, wall, proof, buried=[parcel.delivery] if buried else (), said=(rendered,)
    )


def _of_batch(
    batch: UUID,
    endpoint: Endpoint,
    parcels: Sequence[Parcel],
    wall: datetime,
    *,
    proof: Mapping[str, str],
    erased: Collection[UUID],
) -> Letter:
    said, buried = [], set()
    for parcel in parcels:
        rendered = parcel.message.rendered
        if rendered is None or parcel.message.person in erased:
            rendered = _gravestone(endpoint.rendering, parcel)
            buried.add(parcel.delivery)
        said.append(rendered)
    heading = Heading(
        ids.show("bat", batch),
        int(wall.timestamp()),
        None,
        parcels[0].tries,
        any(parcel.replay for parcel in parcels),
        False,
        any(parcel.out_of_order for parcel in parcels),
    )
    whole = together(batch, endpoint.rendering, [one.body for one in said])
    return _signed(endpoint, heading, whole, wall, proof, buried=buried, said=said)


def _signed(
    endpoint: Endpoint,
    heading: Heading,
    rendered: Rendered,
    wall: datetime,
    proof: Mapping[str, str],
    *,
    buried: Collection[UUID],
    said: Sequence[Rendered],
) -> Letter:
    signatures = endpoint.signer_at(wall).headers(heading.webhook_id, heading.timestamp, rendered.body)
    signature = signatures["webhook-signature"]
    headers = {**endpoint.settings.headers, **rendered.headers, **heading.headers(signature), **signatures, **proof}
    # Of what bears the usual headers, by one key alone, none are kept.
    usual = endpoint.usual and heading.delivery is not None and not heading.out_of_order and " " not in signature
    shown = None if usual else _shown(headers, signatures, proof)
    return Letter(rendered.body, headers, buried, said, shown)


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


def _gravestone(rendering: Rendering, parcel: Parcel) -> Rendered:
    """What is said in place of an event whose person was erased."""
    message = parcel.message
    envelope = tombstone(
        message.id,
        message.type,
        message.subject_type,
        message.subject_shown_id,
        message.sequence,
        message.occurred_at,
        parcel.tenant,
    )
    return Rendering(rendering.format, rendering.names).render(envelope, {}, lambda value: value)


def _shown(headers: Mapping[str, str], signatures: Mapping[str, str], proof: Mapping[str, str]) -> dict[str, str]:
    masked = dict.fromkeys((*signatures, *proof), _MASKED)
    masked["webhook-signature"] = " ".join(
        f"{one.partition(',')[0]},{_MASKED}" for one in signatures["webhook-signature"].split()
    )
    return {**headers, **masked}
