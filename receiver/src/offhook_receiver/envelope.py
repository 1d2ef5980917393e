"""From the bytes of a message to its events. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from offhook_receiver.rejected import Rejected


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to one subject.

    `sequence` counts without a gap from 1 per subject. `erased`: its person was erased, so that it happened is all that
    is still told. `body` is the whole envelope; `text` the same as JSON.
    """

    id: str
    type: str
    subject: str
    sequence: int
    erased: bool
    body: Mapping[str, Any] = field(repr=False, compare=False)
    text: str = field(repr=False, compare=False)

    @property
    def data(self) -> Mapping[str, Any]:
        """What this type of event says of its own; `{"erased": true}` when it was erased, empty in the format `thin`."""
        data: Mapping[str, Any] = self.body.get("data", {})
        return data


def read(body: bytes) -> tuple[Event, ...]:
    """The events of a message in any format: one, or those of a batch in their order. Raises Rejected `not_an_event`."""
    try:
        text = body.decode()
        told = json.loads(text)
        if isinstance(told, list):  # CloudEvents' batch
            return tuple(event_of(one["data"]) for one in told)
        if told.get("object") == "batch":
            return tuple(event_of(one) for one in told["events"])
        if "specversion" in told:  # a CloudEvent, which holds ours
            return (event_of(told["data"]),)
        return (event_of(told, text),)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Rejected("not_an_event") from None


def event_of(envelope: Mapping[str, Any], text: str | None = None) -> Event:
    """The event of an envelope, spelt anew unless its `text` is at hand. Raises ValueError, TypeError or KeyError."""
    id, type, subject, sequence = (
        envelope["event_id"],
        envelope["type"],
        envelope["subject"]["id"],
        envelope["sequence"],
    )
    if not (isinstance(id, str) and isinstance(type, str) and isinstance(subject, str)):
        raise TypeError("an id or a type is no text")
    if not isinstance(sequence, int) or sequence < 1:
        raise ValueError("a sequence counts from 1")
    # The header offhook-tombstone says the same, but no signature covers it, and a batch has one for all.
    erased = envelope.get("data") == {"erased": True}
    return Event(id, type, subject, sequence, erased, envelope, text or json.dumps(envelope, separators=(",", ":")))
