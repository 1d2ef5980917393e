"""The paths of deliveries and dead letters."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import StringConstraints

from offhook import ids
from offhook.db import Tx
from offhook.errors import NotFound
from offhook.events.globs import like
from offhook.events.types import check_glob, read_subject
from offhook.http import Answer, Caller, Door, Page, caller, listed, page
from offhook.http.resources import External, ref_of
from offhook.http.wire import Instant
from offhook.webhooks import delivery_store
from offhook.webhooks.callers import actor_of
from offhook.webhooks.deliveries import Deliveries, shown
from offhook.webhooks.delivery_store import DeliveryRow, Looked, Status, Wanted
from offhook.webhooks.endpoints import Endpoints

Paged = Annotated[Page, Depends(page)]
Code = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,100}$")] | None


@dataclass(frozen=True, slots=True)
class DeadAsked:
    """Which dead letters. `from` and `to` bound when the event was recorded (in a sandbox: when it occurred), which
    `created_at` tells.
    """

    endpoint: Annotated[str | None, Query(description="whe_… or ext:…")] = None
    type: Annotated[str, Query(max_length=100, description="A type, or a glob like lead.*")] = "*"
    reason: Annotated[Code, Query(description="Why it is dead, as tries_used_up.")] = None
    cause: Annotated[Code, Query(description="The error code of its last try, as http_503.")] = None
    from_: Annotated[Instant | None, Query(alias="from")] = None
    to: Instant | None = None
    died_from: Instant | None = None
    died_to: Instant | None = None


def delivery_router(door: Door, deliveries: Deliveries, endpoints: Endpoints) -> APIRouter:
    """Deliveries and dead letters."""
    api = APIRouter(prefix="/v1", tags=["deliveries"])
    _add_lists(api, door, endpoints)
    _add_dead(api, door, endpoints)

    @api.get("/deliveries/{id}", name="Get a delivery with its tries")
    async def get(id: str, who: Caller = caller("webhooks:read")) -> Response:
        async def read(tx: Tx) -> Answer:
            return Answer(200, await deliveries.find(tx, _delivery(id)))

        return await door.read(who, read)

    @api.post("/deliveries/{id}/replay", status_code=202, name="Replay a delivery")
    async def replay(id: str, request: Request, who: Caller = caller("webhooks:write")) -> Response:
        async def work(tx: Tx) -> Answer:
            return Answer(202, await deliveries.replay(tx, _delivery(id), actor_of(who)))

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
        from_: Annotated[
            Instant | None, Query(alias="from", description="Its event was recorded then or later.")
        ] = None,
        to: Annotated[Instant | None, Query(description="Its event was recorded before.")] = None,
    ) -> Response:
        """The newest first. A page may have few or none, and `has_more`, where few of very many match: go on.

        `from` and `to` bound when the event was recorded (in a sandbox: when it occurred), which `created_at` tells.
        """
        check_glob(type, "type")

        async def read(tx: Tx) -> Answer:
            about = read_subject(subject, "subject") if subject is not None else None
            wanted = Wanted(
                await endpoint_id(tx, endpoints, endpoint),
                status,
                _pattern(type),
                about,
                told_from=from_,
                told_to=to,
                live=tx.tenant.environment == "live",
            )
            found = await delivery_store.look(tx, wanted, _start(page), page.most)
            return Answer(200, _told(found, page, lambda row: (row.written_at, row.id)))

        return await door.read(who, read)


def _add_dead(api: APIRouter, door: Door, endpoints: Endpoints) -> None:
    @api.get("/dead-letters", name="List dead letters")
    async def dead(
        page: Paged, asked: Annotated[DeadAsked, Depends()], who: Caller = caller("webhooks:read")
    ) -> Response:
        """The latest death first. A page may have few or none, and `has_more`, where few of very many match: go on."""
        check_glob(asked.type, "type")

        async def read(tx: Tx) -> Answer:
            wanted = Wanted(
                await endpoint_id(tx, endpoints, asked.endpoint),
                "dead",
                _pattern(asked.type),
                died_from=asked.died_from,
                died_to=asked.died_to,
                told_from=asked.from_,
                told_to=asked.to,
                reason=asked.reason,
                cause=asked.cause,
                live=tx.tenant.environment == "live",
            )
            found = await delivery_store.dead_letters(tx, wanted, _start(page), page.most)
            return Answer(200, _told(found, page, _death_of))

        return await door.read(who, read)


def _told(found: Looked, page: Page, place_of: Callable[[DeliveryRow], tuple[datetime, UUID]]) -> dict[str, Any]:
    answer = listed(found.rows, page, place_of, shown)
    if found.end is None or answer["has_more"]:
        return answer
    # As if one more were there, behind the last that was looked at.
    on = listed([found.end, found.end], Page(1), lambda end: end)
    return {**answer, "has_more": True, "next_cursor": on["next_cursor"]}


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


def _pattern(glob: str) -> str | None:
    return None if glob == "*" else like(glob)


def _start(page: Page) -> tuple[datetime, UUID] | None:
    start = page.start(datetime, UUID)
    return (start[0], start[1]) if start else None


def _death_of(row: DeliveryRow) -> tuple[datetime, UUID]:
    assert row.died_at is not None
    return row.died_at, row.id
