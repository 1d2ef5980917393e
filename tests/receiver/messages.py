"""Events as Offhook tells them, and the keys of an endpoint."""

import json
from collections.abc import Sequence
from typing import Any

from offhook_receiver import Event
from offhook_receiver.envelope import read
from offhook_receiver.testing import signed

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def envelope(subject: str = "call_1", sequence: int = 1, **more: Any) -> dict[str, Any]:
    """What is told of the nth event of a subject."""
    told = {"event_id": f"evt_{subject}_{sequence}", "type": "call.updated", "subject": {"type": "call", "id": subject}}
    return {**told, "sequence": sequence, "data": {"n": sequence}, **more}


def tombstone(subject: str = "call_1", sequence: int = 1) -> dict[str, Any]:
    """What is told of it once its person was erased."""
    return envelope(subject, sequence, data={"erased": True})


def cloud(told: dict[str, Any]) -> dict[str, Any]:
    """The same as a CloudEvent in structured form."""
    return {"specversion": "1.0", "id": told["event_id"], "data": told}


def event(subject: str = "call_1", sequence: int = 1, **more: Any) -> Event:
    (event,) = read(body(envelope(subject, sequence, **more)))
    return event


def body(told: Any) -> bytes:
    return json.dumps(told).encode()


def batch(*told: dict[str, Any]) -> bytes:
    return body({"object": "batch", "batch_id": "bat_1", "events": told})


def message(told: Any, *keys: str, now: float | None = None) -> tuple[dict[str, str], bytes]:
    """Headers and body, as they arrive."""
    sent = told if isinstance(told, bytes) else body(told)
    return signed(sent, *(keys or (SECRET,)), now=now), sent


def ids(events: Sequence[Event]) -> list[str]:
    return [event.id for event in events]
