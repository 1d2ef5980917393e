"""The paths of deliveries and dead letters."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from offhook import ids
from offhook.db import Tx
from offhook.errors import Fault, Invalid, NotFound
from offhook.events import Actor
from offhook.events.types import check_glob
from offhook.http import Answer, Caller, Door, Page, caller, listed, page
from offhook.http.resources import External, ref_of
from offhook.webhooks import delivery_store
from offhook.webhooks.deliveries import Deliveries, shown
from offhook.webhooks.delivery_store import DeliveryRow, Status, Wanted, like
from offhook.webhooks.endpoints import Endpoints

Paged = Annotated[Page, Depends(page)]


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
            wanted = Wanted(await endpoint_id(tx, endpoints, endpoint), status, _pattern(type), about)
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
            wanted = Wanted(await endpoint_id(tx, endpoints, endpoint), "dead", _pattern(type))
            rows = await delivery_store.dead_letters(tx, wanted, _start(page), page.most)
            return Answer(200, listed(rows, page, _death_of, shown))

        return await door.read(who, read)


def _actor(who: Caller) -> Actor:
    return Actor("api_key", ids.show("key", who.key_id))


async def endpoint_id(tx: Tx, endpoints: Endpoints, text: str | None) -> UUID | None:
    """The endpoint that is meant by `whe_…` or `ext:…`; None where none is named. Raises NotFound."""
    if text is None:
        return None
    ref = ref_of(text, "whe")
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
