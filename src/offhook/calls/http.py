"""`/v1/calls`: what became of them, and the verbs that end, hand over and describe one."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import StringConstraints

from offhook import ids
from offhook.calls.calls import Calls
from offhook.calls.shown import shown
from offhook.db import Tx
from offhook.errors import Fault, Invalid, NotFound
from offhook.events import Actor
from offhook.http import Answer, Caller, Door, Page, Wire, caller, listed, page
from offhook.providers import DialOne, OneOffIn

PERSONAL = "leads:read-personal"

Reader = Callable[[Tx, UUID], Awaitable[list[Any]]]
"""What another room knows of a call: the events told of it, the decisions about it."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
Reads = Annotated[Caller, caller("calls:read")]
ReadsEvents = Annotated[Caller, caller("events:read")]
"""Events tell what a call hides without the personal scope: merge fields, visitor, metadata."""
Writes = Annotated[Caller, caller("calls:write")]
Status = Literal["requested", "placed", "ringing", "inbound_ringing", "answered", "ended"]


class TransferIn(Wire):
    reason: Text = "requested"


class DispositionIn(Wire):
    code: Text


@dataclass(frozen=True, slots=True)
class _Rooms:
    door: Door
    calls: Calls
    dial_one: DialOne
    events: Reader
    decisions: Reader


def router(door: Door, calls: Calls, dial_one: DialOne, *, events: Reader, decisions: Reader) -> APIRouter:
    """The routes. `dial_one` is the gate's; `events` and `decisions` are read by the rooms that keep them."""
    api = APIRouter(prefix="/v1/calls", tags=["calls"])
    rooms = _Rooms(door, calls, dial_one, events, decisions)
    _add_collection(api, rooms)
    _add_reads(api, rooms)
    _add_verbs(api, rooms)
    return api


def _add_collection(api: APIRouter, rooms: _Rooms) -> None:
    @api.get("", name="List calls")
    async def list_(
        page: Annotated[Page, Depends(page)], who: Reads, lead_id: str | None = None, status: Status | None = None
    ) -> Response:
        lead, start = _lead(lead_id), page.start(UUID)
        personal = who.may(PERSONAL)

        async def read(tx: Tx) -> Answer:
            before = start[0] if start else None
            found = await rooms.calls.page(tx, lead_id=lead, status=status, before=before, limit=page.most)
            body = listed(found, page, lambda call: (call.id,), lambda call: shown(call, personal=personal))
            return Answer(200, body)

        return await rooms.door.read(who, read)

    @api.post("", status_code=202, name="Dial once")
    async def dial(request: Request, body: OneOffIn, who: Writes) -> Response:
        asked = body.asked(request.headers.get("idempotency-key"), _actor(who))
        return await rooms.door.write(request, who, lambda tx: rooms.dial_one(tx, asked))


def _add_reads(api: APIRouter, rooms: _Rooms) -> None:
    @api.get("/{id}", name="Get a call")
    async def get(id: str, who: Reads) -> Response:
        async def read(tx: Tx) -> Answer:
            call = await rooms.calls.shown(tx, _id(id), personal=who.may(PERSONAL))
            return Answer(200, call, {"ETag": f'"{call["version"]}"'})

        return await rooms.door.read(who, read)

    @api.get("/{id}/events", name="What was told of a call")
    async def events(id: str, who: ReadsEvents) -> Response:
        return await rooms.door.read(who, lambda tx: _read(tx, rooms, rooms.events, _id(id)))

    @api.get("/{id}/decision", name="Why a call went where it went")
    async def decision(id: str, who: Reads) -> Response:
        return await rooms.door.read(who, lambda tx: _read(tx, rooms, rooms.decisions, _id(id)))


def _add_verbs(api: APIRouter, rooms: _Rooms) -> None:
    calls = rooms.calls

    async def answered(tx: Tx, status: int, call_id: UUID) -> Answer:
        return Answer(status, await calls.shown(tx, call_id, personal=False))

    @api.post("/{id}/transfer", status_code=202, name="Hand the consumer to a human")
    async def transfer(id: str, request: Request, who: Writes, body: TransferIn | None = None) -> Response:
        async def work(tx: Tx) -> Answer:
            await calls.transfer(tx, _id(id), (body or TransferIn()).reason, _actor(who))
            return await answered(tx, 202, _id(id))

        return await rooms.door.write(request, who, work)

    @api.post("/{id}/hangup", status_code=202, name="End a call")
    async def hang_up(id: str, request: Request, who: Writes) -> Response:
        async def work(tx: Tx) -> Answer:
            await calls.hang_up(tx, _id(id), _actor(who))
            return await answered(tx, 202, _id(id))

        return await rooms.door.write(request, who, work)

    @api.post("/{id}/disposition", name="Say how a call went")
    async def disposition(id: str, request: Request, body: DispositionIn, who: Writes) -> Response:
        async def work(tx: Tx) -> Answer:
            await calls.set_disposition(tx, _id(id), body.code, _actor(who))
            return await answered(tx, 200, _id(id))

        return await rooms.door.write(request, who, work)


async def _read(tx: Tx, rooms: _Rooms, reader: Reader, call_id: UUID) -> Answer:
    await rooms.calls.find(tx, call_id)
    return Answer(200, {"object": "list", "data": await reader(tx, call_id), "has_more": False, "next_cursor": None})


def _actor(who: Caller) -> Actor:
    return Actor("api_key", ids.show("key", who.key_id))


def _id(text: str) -> UUID:
    try:
        return ids.read("call", text)
    except ids.NotAnId:
        raise NotFound("no_such_call", "There is no call with this id.", param="id") from None


def _lead(text: str | None) -> UUID | None:
    try:
        return ids.read("lead", text) if text else None
    except ids.NotAnId as why:
        raise Invalid([Fault("lead_id", "bad_id", f"This is {why}.")]) from None
