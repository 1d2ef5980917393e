"""The paths of the room: endpoints and their verbs, deliveries, dead letters, replays."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response

from offhook import ids
from offhook.db import Tx
from offhook.errors import Fault, Invalid, NotFound
from offhook.events import Actor
from offhook.events.types import check_glob
from offhook.http import Answer, Caller, Door, Page, caller, listed, page
from offhook.http.resources import External, Ref, ref_of, resource_router, take_turn
from offhook.webhooks import delivery_store
from offhook.webhooks.deliveries import Deliveries, shown
from offhook.webhooks.delivery_store import DeliveryRow, Status, Wanted, like
from offhook.webhooks.endpoints import Endpoints
from offhook.webhooks.post import LONGEST_TIMEOUT_S
from offhook.webhooks.reach import Judge
from offhook.webhooks.replays import Replays
from offhook.webhooks.stats import stats
from offhook.webhooks.wire import Enabling, ReplayFilter, ReplaysIn, Rotation, TestIn

Paged = Annotated[Page, Depends(page)]
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
    async def answer(ref: str, who: Caller = caller("webhooks:read")) -> Response:
        async def read(tx: Tx) -> Answer:
            return Answer(200, await stats(tx, await endpoints.id_of(tx, _endpoint(ref))))

        return await door.read(who, read)

    api.get("/stats", name="Figures of a webhook endpoint")(answer)
    api.post("/stats", include_in_schema=False)(answer)


def delivery_router(door: Door, deliveries: Deliveries, endpoints: Endpoints) -> APIRouter:
    """Deliveries and dead letters."""
    api = APIRouter(prefix="/v1", tags=["deliveries"])
    _add_lists(api, door, endpoints)

    @api.get("/deliveries/{id}", name="Get a delivery with its tries")
    async def get(id: str, who: Caller = caller("webhooks:read")) -> Response:
        async def read(tx: Tx) -> Answer:
            return Answer(200, await deliveries.find(tx, _delivery(id)))

        return await door.read(who, read)

    @api.post("/deliveries/{id}/replay", status_code=202, name="Replay a delivery")
    async def replay(id: str, request: Request, who: Caller = caller("webhooks:write")) -> Response:
        async def work(tx: Tx) -> Answer:
            return Answer(202, await deliveries.replay(tx, _delivery(id), _actor(who)))

        return await door.write(request, who, work)

    @api.post("/dead-letters/{id}/discard", name="Discard a dead letter")
    async def discard(id: str, request: Request, who: Caller = caller("webhooks:write")) -> Response:
        async def work(tx: Tx) -> Answer:
            return Answer(200, await deliveries.discard(tx, _delivery(id)))

        return await door.write(request, who, work)

    return api


def _add_lists(api: APIRouter, door: Door, endpoints: Endpoints) -> None:
    @api.get("/deliveries", name="List deliveries")
    async def list_(
        page: Paged,
        who: Caller = caller("webhooks:read"),
        endpoint: Annotated[str | None, Query(description="whe_… or ext:…")] = None,
        status: Status | None = None,
        type: Annotated[str, Query(max_length=100, description="A type, or a glob like lead.*")] = "*",
        subject: Annotated[str | None, Query(max_length=100, description="The id of a lead, a call, …")] = None,
    ) -> Response:
        check_glob(type)

        async def read(tx: Tx) -> Answer:
            about = _subject(subject) if subject is not None else None
            wanted = Wanted(await _endpoint_id(tx, endpoints, endpoint), status, _pattern(type), about)
            rows = await delivery_store.page(tx, wanted, _start(page), page.most)
            return Answer(200, listed(rows, page, lambda row: (row.written_at, row.id), shown))

        return await door.read(who, read)

    @api.get("/dead-letters", name="List dead letters")
    async def dead(
        page: Paged,
        who: Caller = caller("webhooks:read"),
        endpoint: Annotated[str | None, Query(description="whe_… or ext:…")] = None,
        type: Annotated[str, Query(max_length=100, description="A type, or a glob like lead.*")] = "*",
    ) -> Response:
        check_glob(type)

        async def read(tx: Tx) -> Answer:
            wanted = Wanted(await _endpoint_id(tx, endpoints, endpoint), "dead", _pattern(type))
            rows = await delivery_store.dead_letters(tx, wanted, _start(page), page.most)
            return Answer(200, listed(rows, page, _death_of, shown))

        return await door.read(who, read)


def replay_router(door: Door, replays: Replays, endpoints: Endpoints) -> APIRouter:
    """Replays of many."""
    api = APIRouter(prefix="/v1", tags=["deliveries"])

    @api.post("/replays", status_code=202, name="Replay dead letters")
    async def start(request: Request, body: ReplaysIn, who: Caller = caller("webhooks:write")) -> Response:
        check_glob(body.filter.type)

        async def work(tx: Tx) -> Answer:
            job = await replays.start(tx, await _dead(tx, endpoints, body.filter), _actor(who))
            return Answer(202, job, {"Location": f"/v1/jobs/{job['id']}"})

        return await door.write(request, who, work)

    return api


async def _dead(tx: Tx, endpoints: Endpoints, asked: ReplayFilter) -> Wanted:
    endpoint = await _endpoint_id(tx, endpoints, asked.endpoint)
    return Wanted(endpoint, "dead", _pattern(asked.type), died_from=asked.from_, died_to=asked.to)


def _actor(who: Caller) -> Actor:
    return Actor("api_key", ids.show("key", who.key_id))


def _endpoint(text: str) -> Ref:
    return ref_of(text, "whe")


async def _endpoint_id(tx: Tx, endpoints: Endpoints, text: str | None) -> UUID | None:
    if text is None:
        return None
    ref = _endpoint(text)
    # A deleted endpoint is not there any more; its deliveries are.
    return await endpoints.id_of(tx, ref) if isinstance(ref, External) else ref


def _delivery(text: str) -> UUID:
    try:
        return ids.read("dlv", text)
    except ids.NotAnId as why:
        raise NotFound("no_such_delivery", f"This is {why}.", param="id") from None


def _subject(text: str) -> UUID:
    prefix: Any = text.rpartition("_")[0]
    try:
        return ids.read(prefix, text)
    except ids.NotAnId:
        raise Invalid([Fault("subject", "bad_id", "This is not an id, like lead_… or call_….")]) from None


def _pattern(glob: str) -> str | None:
    return None if glob == "*" else like(glob)


def _start(page: Page) -> tuple[datetime, UUID] | None:
    start = page.start(datetime, UUID)
    return (start[0], start[1]) if start else None


def _death_of(row: DeliveryRow) -> tuple[datetime, UUID]:
    assert row.died_at is not None
    return row.died_at, row.id
