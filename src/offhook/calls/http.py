"""`/v1/calls`: what became of them, and the verbs that end, hand over and describe one."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from offhook import clock, ids
from offhook.calls.call import Call
from offhook.calls.calls import Calls
from offhook.db import Tx
from offhook.errors import NotFound
from offhook.events import Actor
from offhook.http import Answer, Caller, Door, Page, Wire, caller, page
from offhook.http.pages import listed
from offhook.providers.one_off import DialOne, OneOffIn, Text, id_in

PERSONAL = "leads:read-personal"

Reader = Callable[[Tx, UUID], Awaitable[list[dict[str, Any]]]]
"""What another room knows of a call: its events, the decisions about it."""


class TransferIn(Wire):
    reason: Text = "requested"


class DispositionIn(Wire):
    code: Text


class CallVerbs:
    """The verbs of calls as doors use them: each answers the call as the API shows it."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def show(self, tx: Tx, call_id: UUID, *, personal: bool) -> dict[str, Any]:
        """The call; without `personal` its numbers are masked, after an erasure null. Raises NotFound."""
        return shown(await self._calls.find(tx, call_id), personal=personal)

    async def transfer(self, tx: Tx, call_id: UUID, reason: str) -> dict[str, Any]:
        """See Calls.transfer."""
        await self._calls.transfer(tx, call_id, reason)
        return await self.show(tx, call_id, personal=False)

    async def wrap_up(self, tx: Tx, call_id: UUID, disposition: str, key_id: UUID) -> dict[str, Any]:
        """See Calls.wrap_up."""
        await self._calls.wrap_up(tx, call_id, disposition, _actor(key_id))
        return await self.show(tx, call_id, personal=False)

    async def set_disposition(self, tx: Tx, call_id: UUID, code: str, key_id: UUID) -> dict[str, Any]:
        """See Calls.set_disposition."""
        await self._calls.set_disposition(tx, call_id, code, _actor(key_id))
        return await self.show(tx, call_id, personal=False)

    async def hang_up(self, tx: Tx, call_id: UUID) -> dict[str, Any]:
        """See Calls.hang_up."""
        return shown(await self._calls.hang_up(tx, call_id), personal=False)


@dataclass(frozen=True, slots=True)
class Doors:
    """What the routes stand on. `events` and `decisions` are read by the rooms that keep them."""

    door: Door
    calls: Calls
    verbs: CallVerbs
    dial_one: DialOne
    events: Reader
    decisions: Reader


def router(doors: Doors) -> APIRouter:
    """The routes under `/v1/calls`."""
    api = APIRouter(prefix="/v1/calls", tags=["calls"])
    _add_list(api, doors)
    _add_reads(api, doors)
    _add_verbs(api, doors)
    return api


def shown(call: Call, *, personal: bool) -> dict[str, Any]:
    """The call as the API tells it."""
    transfer, end = call.transfer, call.end
    return {
        "id": ids.show("call", call.id),
        "object": "call",
        "external_id": None,
        **call.shown(personal=personal),
        "merge_fields": dict(call.told.merge_fields) if personal else {},
        "transfer": transfer and {"id": ids.show("trf", transfer.id), "status": transfer.status},
        "qualified": call.qualified,
        "transferred": call.transferred,
        "opt_out": call.opt_out,
        "end_reason": end and end.reason,
        "end_detail": end and end.detail,
        "ended_by": end and end.by,
        "stop_requested_at": clock.show_or_null(call.stop_requested_at),
        "created_at": clock.show(call.about.started_at),
        "updated_at": clock.show_or_null(call.updated_at),
        "version": call.version,
    }


def _add_list(api: APIRouter, doors: Doors) -> None:
    @api.get("", name="List calls")
    async def list_(
        page: Annotated[Page, Depends(page)],
        who: Caller = caller("calls:read"),
        lead_id: str | None = None,
        status: Literal["requested", "placed", "ringing", "inbound_ringing", "answered", "ended"] | None = None,
    ) -> Response:
        lead, start = id_in("lead", lead_id, "lead_id"), page.start(UUID)
        personal = who.may(PERSONAL)

        async def read(tx: Tx) -> Answer:
            before = start[0] if start else None
            found = await doors.calls.page(tx, lead_id=lead, status=status, before=before, limit=page.most)
            return Answer(
                200, listed(found, page, lambda call: (call.id,), lambda call: shown(call, personal=personal))
            )

        return await doors.door.read(who, read)

    @api.post("", status_code=202, name="Dial once")
    async def dial(request: Request, body: OneOffIn, who: Caller = caller("calls:write")) -> Response:
        asked = body.asked(request.headers.get("idempotency-key"))
        return await doors.door.write(request, who, lambda tx: doors.dial_one(tx, asked))


def _add_reads(api: APIRouter, doors: Doors) -> None:
    @api.get("/{id}", name="Get a call")
    async def get(id: str, who: Caller = caller("calls:read")) -> Response:
        async def read(tx: Tx) -> Answer:
            call = await doors.verbs.show(tx, _id(id), personal=who.may(PERSONAL))
            return Answer(200, call, {"ETag": f'"{call["version"]}"'})

        return await doors.door.read(who, read)

    @api.get("/{id}/events", name="What was told of a call")
    async def events(id: str, who: Caller = caller("calls:read")) -> Response:
        return await doors.door.read(who, lambda tx: _read(tx, doors, doors.events, _id(id)))

    @api.get("/{id}/decision", name="Why the call went where it went")
    async def decision(id: str, who: Caller = caller("calls:read")) -> Response:
        return await doors.door.read(who, lambda tx: _read(tx, doors, doors.decisions, _id(id)))


def _add_verbs(api: APIRouter, doors: Doors) -> None:
    verbs = doors.verbs

    @api.post("/{id}/transfer", status_code=202, name="Hand the consumer to a human")
    async def transfer(
        id: str, request: Request, body: TransferIn | None = None, who: Caller = caller("calls:write")
    ) -> Response:
        reason = (body or TransferIn()).reason

        async def work(tx: Tx) -> Answer:
            return Answer(202, await verbs.transfer(tx, _id(id), reason))

        return await doors.door.write(request, who, work)

    @api.post("/{id}/hangup", status_code=202, name="End a call")
    async def hang_up(id: str, request: Request, who: Caller = caller("calls:write")) -> Response:
        async def work(tx: Tx) -> Answer:
            return Answer(202, await verbs.hang_up(tx, _id(id)))

        return await doors.door.write(request, who, work)

    @api.post("/{id}/disposition", name="Say how a call went")
    async def disposition(
        id: str, request: Request, body: DispositionIn, who: Caller = caller("calls:write")
    ) -> Response:
        async def work(tx: Tx) -> Answer:
            return Answer(200, await verbs.set_disposition(tx, _id(id), body.code, who.key_id))

        return await doors.door.write(request, who, work)


async def _read(tx: Tx, doors: Doors, reader: Reader, call_id: UUID) -> Answer:
    await doors.calls.find(tx, call_id)
    return Answer(200, {"object": "list", "data": await reader(tx, call_id), "has_more": False, "next_cursor": None})


def _id(text: str) -> UUID:
    try:
        return ids.read("call", text)
    except ids.NotAnId:
        raise NotFound("no_such_call", "There is no call with this id.", param="id") from None


def _actor(key_id: UUID) -> Actor:
    return Actor("api_key", ids.show("key", key_id))
