"""The paths of endpoints and their verbs."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Request, Response

from offhook import ids
from offhook.db import Tx
from offhook.errors import Fault, Invalid, NotFound
from offhook.events.types import fact_of
from offhook.http import Answer, Caller, Door, caller
from offhook.http.resources import Ref, ref_of, resource_router, take_turn
from offhook.webhooks import delivery_store
from offhook.webhooks.callers import actor_of
from offhook.webhooks.deliveries import shown
from offhook.webhooks.delivery_store import DeliveryRow
from offhook.webhooks.endpoints import Endpoints
from offhook.webhooks.post import LONGEST_TIMEOUT_S
from offhook.webhooks.reach import Judge
from offhook.webhooks.stats import Window, stats
from offhook.webhooks.wire import Enabling, Rotation, TestIn

_LOOK_S = 0.2
Watch = Callable[[UUID], asyncio.Future[None]]


def endpoint_router(door: Door, endpoints: Endpoints, judge: Judge, watch: Watch | None) -> APIRouter:
    """Endpoints as a resource, and their verbs. `watch` tells when a delivery's result is in, where this process sends."""
    api = APIRouter(dependencies=[Depends(_looked_up(judge))])
    verbs = APIRouter(prefix="/v1/webhook-endpoints/{ref}", tags=["webhook-endpoints"])
    _add_states(verbs, door, endpoints)
    _add_test(verbs, door, endpoints, watch)
    _add_stats(verbs, door, endpoints)
    api.include_router(verbs)
    api.include_router(resource_router(door, endpoints, acting_for=lambda who: _acting(endpoints, who)))
    return api


def _acting(endpoints: Endpoints, who: Caller) -> Endpoints:
    return endpoints.by(actor_of(who), may_unmask=who.may("leads:read-personal"))


def _looked_up(judge: Judge) -> Callable[[Request], Awaitable[None]]:
    """A dependency that judges the URLs in a body before its transaction begins."""

    async def look_up(request: Request) -> None:
        who: Caller | None = getattr(request.state, "caller", None)
        if request.method in ("POST", "PATCH") and who is not None and who.may("webhooks:write"):
            await judge.look_up(who.tenant, _urls(await request.body()))

    return look_up


def _urls(body: bytes) -> list[str]:
    try:
        sent = orjson.loads(body)
    except orjson.JSONDecodeError:
        return []  # the route says what is wrong with it
    operations = sent.get("operations") if isinstance(sent, dict) else None
    bodies = (
        [one.get("body") for one in operations if isinstance(one, dict)] if isinstance(operations, list) else [sent]
    )
    places = [place for one in bodies if isinstance(one, dict) for place in _places(one)]
    return [place for place in places if isinstance(place, str)]


def _places(body: dict[str, Any]) -> list[Any]:
    """Where an endpoint would have us send something."""
    authentication = body.get("authentication")
    return [body.get("url"), authentication.get("token_url") if isinstance(authentication, dict) else None]


def _add_states(api: APIRouter, door: Door, endpoints: Endpoints) -> None:
    async def answer(
        request: Request, ref: str, who: Caller, verb: Callable[[Endpoints, Tx, Ref], Awaitable[dict[str, Any]]]
    ) -> Response:
        async def run(tx: Tx) -> Answer:
            endpoint = await verb(endpoints.by(actor_of(who)), tx, await take_turn(tx, endpoints, _endpoint(ref)))
            return Answer(200, endpoint, {"ETag": f'"{endpoint["version"]}"'})

        return await door.write(request, who, run)

    @api.post("/pause", name="Pause a webhook endpoint")
    async def pause(ref: str, request: Request, who: Caller = caller("webhooks:write")) -> Response:
        return await answer(request, ref, who, Endpoints.pause)

    @api.post("/disable", name="Disable a webhook endpoint")
    async def disable(ref: str, request: Request, who: Caller = caller("webhooks:write")) -> Response:
        return await answer(request, ref, who, Endpoints.disable)

    @api.post("/enable", name="Enable a webhook endpoint")
    async def enable(
        ref: str, request: Request, body: Enabling | None = None, who: Caller = caller("webhooks:write")
    ) -> Response:
        held = (body or Enabling()).held
        return await answer(request, ref, who, lambda ours, tx, id: ours.enable(tx, id, held))

    @api.post("/rotate-secret", name="Rotate a key of a webhook endpoint")
    async def rotate_secret(
        ref: str, request: Request, body: Rotation | None = None, who: Caller = caller("webhooks:write")
    ) -> Response:
        wanted = body or Rotation()
        return await answer(request, ref, who, lambda ours, tx, id: ours.rotate_secret(tx, id, wanted))


def _add_test(api: APIRouter, door: Door, endpoints: Endpoints, watch: Watch | None) -> None:
    @api.post("/test", status_code=202, name="Send a test to a webhook endpoint")
    async def test(
        ref: str, request: Request, body: TestIn | None = None, who: Caller = caller("webhooks:write")
    ) -> Response:
        """Answers with the delivery when its result is in, at the latest after the longest time-out of a request."""
        type = _known((body or TestIn()).type)
        watched: list[asyncio.Future[None]] = []

        async def work(tx: Tx) -> Answer:
            delivery = await endpoints.by(actor_of(who)).test(tx, _endpoint(ref), type)
            # A run before this one, if another transaction undid it, sends nothing.
            watched[:] = [watch(delivery)] if watch else []
            row = await delivery_store.find(tx, delivery)
            assert row is not None
            return Answer(202, shown(row))

        answer = await door.answer(request, who, work)
        row = await _with_result(door, who, ids.read("dlv", answer.body["id"]), watched)
        return replace(answer, body=shown(row) if row else answer.body).response()


async def _with_result(
    door: Door, who: Caller, delivery: UUID, watched: Sequence[asyncio.Future[None]]
) -> DeliveryRow | None:
    """The delivery when its result is in, or has not come in time; None when it is forgotten.

    What this process does not send is looked for: `watched` is done for its own results alone.
    """
    until = time.monotonic() + LONGEST_TIMEOUT_S + 1
    rows: list[DeliveryRow | None] = []

    async def read(tx: Tx) -> Answer:
        rows.append(await delivery_store.find(tx, delivery))
        return Answer(204, None)

    waiting = list(watched)
    while True:
        await (asyncio.wait(waiting, timeout=_LOOK_S) if waiting else asyncio.sleep(_LOOK_S if rows else 0))
        waiting = [one for one in waiting if not one.done()]
        await door.read(who, read)
        row = rows[-1]
        if row is None or row.status != "pending" or time.monotonic() >= until:
            return row


def _add_stats(api: APIRouter, door: Door, endpoints: Endpoints) -> None:
    async def answer(ref: str, window: Window = "1h", who: Caller = caller("webhooks:read")) -> Response:
        async def read(tx: Tx) -> Answer:
            return Answer(200, await stats(tx, await endpoints.id_of(tx, _endpoint(ref)), window))

        return await door.read(who, read)

    api.get("/stats", name="Figures of a webhook endpoint")(answer)
    api.post("/stats", include_in_schema=False)(answer)


def _known(type: str) -> str:
    """The event type. Raises Invalid: the path is there, what its body says is wrong."""
    try:
        return fact_of(type).type
    except NotFound as unknown:
        raise Invalid([Fault("type", "unknown_event_type", unknown.detail)]) from None


def _endpoint(text: str) -> Ref:
    return ref_of(text, "whe")
