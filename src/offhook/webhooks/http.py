"""The paths of endpoints and their verbs."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Request, Response

from offhook import ids
from offhook.db import Tx
from offhook.events import Actor
from offhook.http import Answer, Caller, Door, caller
from offhook.http.resources import Ref, ref_of, resource_router, take_turn
from offhook.webhooks import delivery_store
from offhook.webhooks.deliveries import shown
from offhook.webhooks.endpoints import Endpoints
from offhook.webhooks.post import LONGEST_TIMEOUT_S
from offhook.webhooks.reach import Judge
from offhook.webhooks.stats import Window, stats
from offhook.webhooks.wire import Enabling, Rotation, TestIn

Watch = Callable[[UUID], asyncio.Future[None]]


def endpoint_router(door: Door, endpoints: Endpoints, judge: Judge, watch: Watch | None) -> APIRouter:
    """Endpoints as a resource, and their verbs. `watch` waits for a delivery's result, where this process sends."""
    api = APIRouter(dependencies=[Depends(_looked_up(judge))])
    verbs = APIRouter(prefix="/v1/webhook-endpoints/{ref}", tags=["webhook-endpoints"])
    _add_states(verbs, door, endpoints)
    _add_test(verbs, door, endpoints, watch)
    _add_stats(verbs, door, endpoints)
    api.include_router(verbs)
    api.include_router(resource_router(door, endpoints, acting_for=lambda who: _acting(endpoints, who)))
    return api


def _acting(endpoints: Endpoints, who: Caller) -> Endpoints:
    return endpoints.by(_actor(who), may_unmask=who.may("leads:read-personal"))


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
            endpoint = await verb(endpoints.by(_actor(who)), tx, await take_turn(tx, endpoints, _endpoint(ref)))
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
        """Answers when the result is in, at the latest after the time-out of a request; the delivery tells it."""
        type = (body or TestIn()).type
        results: list[asyncio.Future[None]] = []

        async def work(tx: Tx) -> Answer:
            delivery = await endpoints.by(_actor(who)).test(tx, _endpoint(ref), type)
            if watch:
                results.append(watch(delivery))
            row = await delivery_store.find(tx, delivery)
            assert row is not None
            return Answer(202, shown(row))

        answer = await door.write(request, who, work)
        if results:
            await asyncio.wait(results, timeout=LONGEST_TIMEOUT_S + 1)
        return answer


def _add_stats(api: APIRouter, door: Door, endpoints: Endpoints) -> None:
    async def answer(ref: str, window: Window = "1h", who: Caller = caller("webhooks:read")) -> Response:
        async def read(tx: Tx) -> Answer:
            return Answer(200, await stats(tx, await endpoints.id_of(tx, _endpoint(ref)), window))

        return await door.read(who, read)

    api.get("/stats", name="Figures of a webhook endpoint")(answer)
    api.post("/stats", include_in_schema=False)(answer)


def _actor(who: Caller) -> Actor:
    return Actor("api_key", ids.show("key", who.key_id))


def _endpoint(text: str) -> Ref:
    return ref_of(text, "whe")
