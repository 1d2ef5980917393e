"""Samples: an event of any type before anything has happened, so that a receiver can be built and tried.

A sample is made from the example that its class shows in the catalogue: the ids in it are fresh and agree with each
other, its instants are moved so that it happens now. It names nobody, and is marked as a test wherever it is told.
"""

import re
from datetime import datetime
from typing import Any, get_args
from uuid import UUID

import orjson

from offhook import clock, ids
from offhook.events import types
from offhook.events.catalogue import contexts
from offhook.events.fact import Fact, Story

THEN = datetime.fromisoformat(contexts.NOW)
"""When the examples of the catalogue happen."""

_ID = re.compile(r"\b([a-z]+)_01k…")
_INSTANT = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
# Numbers that ring nowhere (NANPA keeps 555-01XX for stories), as the contexts show them masked.
_HIDDEN_OF_CALLS = {"call.caller_id": "+13125550100", "call.dialed_number": "+13125550199"}
_HIDDEN_OF_LEADS = {"data.phone": "+13125550199"}


def sample_of(type: str, at: datetime = THEN, *, only_for: UUID | None = None) -> Fact:
    """A made-up fact of that event type, about a fresh subject, as one that happened at that instant.

    `only_for` is the one endpoint that is told of it (None: all that listen). Raises NotFound with the type that was
    probably meant.
    """
    fact = types.fact_of(type)
    subject = ids.new()
    parts = _lived(_parts(fact), fact.subject_prefix, subject, at)
    data: dict[str, Any] = parts.pop("data")
    return fact(
        subject_id=subject,
        story=_story(parts),
        transition=fact.example_transition,
        occurred_at=at,
        test=True,
        only_for=only_for,
        **data,
    )


def _parts(fact: type[Fact]) -> dict[str, Any]:
    """What the catalogue shows of the type: its data, and the context that rides along where there is one."""
    parts: dict[str, Any] = {"data": fact.example}
    if fact.subject_type == "call":
        parts["call"] = contexts.call(fact.type)
    if fact.subject_type in ("call", "lead"):
        parts["correlation"] = "lead_01k…"
    if "correlation" in parts and fact.type != "lead.erased":  # of whom nothing is left to tell
        parts |= {"visitor": contexts.VISITOR, "lead": contexts.lead(fact.type)}
    return parts


def _lived(parts: dict[str, Any], prefix: str, subject: UUID, at: datetime) -> dict[str, Any]:
    """The parts with ids that exist, one of each kind, and instants as they are when the latest of the call is `at`."""
    known = {prefix: subject}

    def shown(found: re.Match[str]) -> str:
        kind: Any = found[1]
        assert kind in get_args(ids.Prefix), f"the example names a {kind}_…, which is the id of nothing"
        return ids.show(kind, known.setdefault(kind, ids.new()))

    later = at - datetime.fromisoformat(_latest(parts))

    def moved(found: re.Match[str]) -> str:
        return clock.show(datetime.fromisoformat(found[0]) + later)

    text = orjson.dumps(parts).decode()
    lived: dict[str, Any] = orjson.loads(_INSTANT.sub(moved, _ID.sub(shown, text)))
    return lived


def _latest(parts: dict[str, Any]) -> str:
    """The latest instant of the call, which is when its event happens."""
    return max(_INSTANT.findall(orjson.dumps(parts.get("call")).decode()), default=contexts.NOW)


def _story(parts: dict[str, Any]) -> Story:
    call, visitor, lead = (orjson.dumps(parts[name]) if name in parts else None for name in ("call", "visitor", "lead"))
    hidden = _HIDDEN_OF_CALLS if call else _HIDDEN_OF_LEADS if lead else {}
    return Story(None, parts.get("correlation"), call, visitor, lead, hidden)
