"""What an endpoint's owner does by the API, and calls whose numbers must be seen by nobody else."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson
from tests.conftest import Client
from tests.webhooks.conftest import Received, Receiver, Room

from offhook import access
from offhook.app import build_app
from offhook.db import Tenant, Wakeups
from offhook.events import Fact, sample_of
from offhook.events import http as events_http
from offhook.events.stream import Streams
from offhook.http import Door
from offhook.settings import Settings

CALLER, DIALED = "+13125550100", "+13125550199"
"""The numbers of `a_call`."""
PATH = "/v1/webhook-endpoints"


async def api_of(room: Room, wakeups: Wakeups, *scopes: str, tenant: Tenant | None = None) -> Client:
    """The API of this room for the bearer of a key with these scopes."""

    async def ready() -> dict[str, str]:
        return {}

    door = Door(room.database, room.vault)
    streams = Streams(room.database, room.vault, wakeups)
    routers = [
        room.webhooks.router(door),
        events_http.router(door, room.vault, streams, room.webhooks.hearing_of),
    ]
    app = build_app(
        Settings.model_validate({}), access.Authenticator(room.database, wakeups), room.database, routers, ready
    )
    async with room.database.transaction(tenant or room.tenant) as tx:
        return Client(app, (await access.issue_key(tx, "Owner", scopes or ("webhooks:*",))).shown)


def a_call(person: UUID | None, type: str = "call.answered", *, caller: str = CALLER, **data: Any) -> Fact:
    """That happened to this person, for whose numbers the envelope has stars."""
    sample = sample_of(type)
    assert sample.story.call is not None
    call = {**orjson.loads(sample.story.call), "caller_id": f"***{caller[-4:]}"}
    hidden = {"call.caller_id": caller, "call.dialed_number": DIALED}
    story = replace(sample.story, person=person, call=orjson.dumps(call), hidden=hidden)
    return replace(sample, test=False, story=story, **data)


async def happen(room: Room, *facts: Fact, tenant: Tenant | None = None) -> None:
    """These facts, in one transaction, and whatever is sent of them."""
    async with room.database.transaction(tenant or room.tenant) as tx:
        await room.log.append(tx, facts)
    await room.webhooks.sender.drain(tenant or room.tenant)


def told(receiver: Receiver) -> list[dict[str, Any]]:
    """The bodies that came, as JSON."""
    return [orjson.loads(one.body) for one in receiver.received]


def last(receiver: Receiver) -> tuple[Received, dict[str, Any]]:
    """The latest request, and its body as JSON."""
    return receiver.received[-1], orjson.loads(receiver.received[-1].body)
