"""An inbox that receives webhooks, for whoever has no receiver yet.

Give an endpoint the URL `/inbox/{workspace}` of this server: what arrives is kept sealed for a while and shown with
the word whether its signature holds under one of the environment's endpoints. Of a batch about several persons the body
is not kept, and `withheld` says so.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson

from offhook import clock, ids
from offhook.db import Tx
from offhook.privacy import ERASED, PersonKey, Vault
from offhook.sandbox import inbox_store as store

KEPT = 1000
"""How many messages an inbox keeps; older ones go."""

SEVERAL = "several_persons"
"""Why the body of a message is not kept: no one person's key could seal it so that it dies with each of them."""

_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature", "content-type", "user-agent")


class Inbox:
    """Keeps what arrives. One per process, built in wiring."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def keep(self, tx: Tx, headers: Mapping[str, str], body: bytes, *, verified: bool) -> None:
        """Keep one message, sealed under the key of the person it speaks of; one that speaks of several, without its body."""
        id, persons = ids.new(), persons_in(body)
        several = len(persons) > 1
        person = None if several else next(iter(persons), None)
        shown = {name: value for name, value in headers.items() if name in _HEADERS or name.startswith("offhook-")}
        told = {"body": None, "withheld": SEVERAL} if several else {"body": body.decode("utf-8", "replace")}
        message = orjson.dumps({"headers": shown, **told})
        key = await self._vault.key(tx, person) if person else ERASED
        sealed = (
            key.seal(message, id.bytes) if isinstance(key, PersonKey) else self._vault.seal_own(tx, message, id.bytes)
        )
        kept_for = person if isinstance(key, PersonKey) else None
        await store.insert_message(tx, id, headers.get("webhook-id", ""), verified, kept_for, sealed)
        await store.trim_inbox(tx, KEPT)

    async def shown(self, tx: Tx, after: UUID | None, limit: int) -> list[dict[str, Any]]:
        """Messages, the newest first; those of erased persons without their content."""
        rows = await store.messages(tx, after, limit)
        keys = await self._vault.keys(tx, {row.person_id for row in rows if row.person_id})
        return [self._message(row, keys.get(row.person_id) if row.person_id else None) for row in rows]

    def _message(self, row: store.Message, key: object) -> dict[str, Any]:
        head = {"id": ids.show("inb", row.id), "object": "inbox_message", "received_at": clock.show(row.received_at)}
        told = {**head, "webhook_id": row.webhook_id, "verified": row.verified}
        if key is ERASED:
            return {**told, "erased": True, "withheld": None, "headers": None, "body": None}
        opened = (
            key.open(row.message, row.id.bytes)
            if isinstance(key, PersonKey)
            else self._vault.open_own(row.message, row.id.bytes)
        )
        return {**told, "erased": False, "withheld": None, **orjson.loads(opened)}


def persons_in(body: bytes) -> set[UUID]:
    """Whom a message is about, in whatever format: the leads that the correlations of its events name. Pure."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return set()
    if isinstance(told, dict):
        told = told["events"] if isinstance(told.get("events"), list) else [told]
    events = [event for event in told if isinstance(event, dict)] if isinstance(told, list) else []
    events += [event["data"] for event in events if isinstance(event.get("data"), dict)]  # of a CloudEvent
    return {person for event in events if (person := _person(event)) is not None}


def _person(event: dict[str, Any]) -> UUID | None:
    try:
        return ids.read("lead", event["correlation_id"])
    except (KeyError, TypeError, AttributeError, ids.NotAnId):
        return None
