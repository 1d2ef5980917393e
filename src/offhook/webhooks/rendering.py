"""An event as an endpoint wants it: the envelope, a CloudEvent, or ids only; by our names or in snake case; masked.

Made once, at append, from the envelope, and shared by the endpoints that want the same. The envelope as it stands is
the usual rendering, of which nothing more is made or kept. CloudEvents 1.0: https://github.com/cloudevents/spec.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import orjson

from offhook.events.envelope import Hidden
from offhook.webhooks.masks import Hash, Masks

Format = Literal["envelope", "cloudevents_binary", "cloudevents_structured", "thin"]
Names = Literal["offhook", "snake"]

JSON = "application/json"
USUAL_HEADERS = {"content-type": JSON}
OTHERWISE_NAMED = {
    "call.ended": "call_completed",
    "call.voice_detected": "voice_detected",
    "transfer.bridged": "transfer_success",
}
_THIN = (
    ("event_id", "type", "schema_version", "occurred_at", "workspace_id", "environment", "subject", "sequence")
    + ("correlation_id", "causation_id", "test")
)  # fmt: skip


class Rendered(NamedTuple):
    """What goes over the wire: the body, and the headers that belong to it."""

    headers: dict[str, str]
    body: bytes

    def pack(self) -> bytes:
        """As it is sealed."""
        return orjson.dumps(self.headers) + b"\n" + self.body

    @classmethod
    def unpack(cls, packed: bytes) -> "Rendered":
        headers, _, body = packed.partition(b"\n")
        return cls(orjson.loads(headers), body)


@dataclass(frozen=True, slots=True)
class Rendering:
    """How an endpoint wants events to look."""

    format: Format = "envelope"
    names: Names = "offhook"
    masks: Masks = Masks()

    @property
    def word(self) -> str | None:
        """By what its bytes are found; None: the envelope as it stands. Equal for whoever wants the same."""
        if self == USUAL:
            return None
        masks = hashlib.sha256(repr(self.masks.places).encode()).hexdigest()[:16] if self.masks.places else ""
        return f"{self.format}:{self.names}:{masks}"

    def render(self, envelope: bytes, hidden: Hidden, hashed: Hash) -> Rendered:
        """These bytes of the log as the endpoint gets them. Pure; the same for the same."""
        if self == USUAL:
            return Rendered(USUAL_HEADERS, envelope)
        event = orjson.loads(envelope)
        if self.masks.places:
            self.masks.put_on(event, hidden, hashed)
        event["type"] = named(event["type"], self.names)
        match self.format:
            case "cloudevents_structured":
                told = {**_cloud_event(event), "datacontenttype": JSON, "data": event}
                return Rendered({"content-type": "application/cloudevents+json"}, orjson.dumps(told))
            case "cloudevents_binary":
                headers = {f"ce-{name}": str(value) for name, value in _cloud_event(event).items()}
                return Rendered({"content-type": JSON, **headers}, orjson.dumps(event))
            case "thin":
                thin = {name: event[name] for name in _THIN if name in event}
                # What is left of an erased event is its tombstone, and it must not look like one to be fetched.
                if (data := event.get("data")) == {"erased": True}:
                    thin["data"] = data
                return Rendered(USUAL_HEADERS, orjson.dumps(thin))
            case _:
                return Rendered(USUAL_HEADERS, orjson.dumps(event))


USUAL = Rendering()


def named(type: str, names: Names) -> str:
    """An event type as the endpoint names it."""
    return type if names == "offhook" else OTHERWISE_NAMED.get(type) or type.replace(".", "_")


def _cloud_event(event: dict[str, Any]) -> dict[str, Any]:
    """The context attributes. `sequence` compares as text, as its extension has it; it counts within the subject."""
    subject = event["subject"]
    attributes = {
        "specversion": "1.0",
        "id": event["event_id"],
        "source": f"/workspaces/{event['workspace_id']}/{event['environment']}",
        "type": f"io.offhook.{event['type']}",
        "subject": f"{subject['type']}/{subject['id']}",
        "time": event["occurred_at"],
        "sequence": f"{event['sequence']:012}",
        "partitionkey": event.get("correlation_id"),
    }
    return {name: value for name, value in attributes.items() if value is not None}
