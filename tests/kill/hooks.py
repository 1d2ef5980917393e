"""The endpoints of a kill test: one per promise, and which of them have a receiver that fails at times."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from offhook.demo import Api

WHOLE = "whole"
"""Listens to everything, and its receiver never fails: what the calls and the gaps are counted from."""
ORDERED = "ordered"
FAILS_EVERY = 7
_SOON = {"gaps_s": [0, 1, 1, 2], "tries": 20}


@dataclass(frozen=True, slots=True)
class Hook:
    """An endpoint, and how often its receiver says 500: at every so manieth request, never where that is 0."""

    name: str
    events: Sequence[str]
    settings: Mapping[str, Any]
    fails_every: int = 0


_LEADS_AND_CALLS = ("lead.*", "call.*")
HOOKS = (
    Hook(WHOLE, ("*",), {"retry": _SOON}),
    Hook("failing", _LEADS_AND_CALLS, {"retry": _SOON}, FAILS_EVERY),
    Hook("batched", _LEADS_AND_CALLS, {"retry": _SOON, "batch": {"max_events": 20, "max_wait_ms": 200}}, FAILS_EVERY),
    Hook(ORDERED, _LEADS_AND_CALLS, {"retry": _SOON, "ordering": "per_subject"}, FAILS_EVERY),
    Hook("paced", _LEADS_AND_CALLS, {"retry": _SOON, "rate_limit_per_s": 200}),
    Hook("once", _LEADS_AND_CALLS, {"retry": {"tries": 1}}, FAILS_EVERY),
)
"""`once` tries once: what its receiver refused is a dead letter, and replayed when everything else is at rest."""


@dataclass(frozen=True, slots=True)
class Made:
    """One of them as the API made it."""

    hook: Hook
    id: str
    secret: str


async def make(api: Api, hook: Hook, receiver: str) -> Made:
    """Create it at that receiver. A short time-out, for what a killed process leased waits for that and 20 s."""
    wanted = {"url": f"{receiver}/{hook.name}", "events": list(hook.events), "timeout_s": 2, **hook.settings}
    shown = await api.post("/v1/webhook-endpoints", wanted)
    return Made(hook, shown["id"], shown["secret"])


async def heard(api: Api, made: Made) -> list[dict[str, Any]]:
    """What the log says this endpoint should be told, in the form of the receiver's journal."""
    return [
        {
            "endpoint": made.hook.name,
            "id": event["event_id"],
            "subject": event["subject"]["id"],
            "sequence": event["sequence"],
        }
        async for page in api.pages("/v1/events", webhook_endpoint=made.id)
        for event in page
    ]
