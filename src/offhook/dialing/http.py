"""The verbs of campaigns, and those of a lead that touch its cadence."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response

from offhook import clock, ids
from offhook.compliance import RuleBook
from offhook.compliance.suppression import taking_turns
from offhook.db import Tx
from offhook.dialing import attempt_store
from offhook.dialing.explain import explain
from offhook.dialing.setup import Campaigns
from offhook.dialing.verbs import Verbs
from offhook.events import Actor
from offhook.http import Answer, Caller, Door, Wire, caller
from offhook.http.resources import ref_of, take_turn
from offhook.http.wire import Instant
from offhook.leads import Lead, People

Timeline = Callable[[Tx, Sequence[UUID]], Awaitable[list[Any]]]
"""The events of these subjects, in the order in which they happened."""


class CallbackIn(Wire):
    at: Instant


def router(
    door: Door, campaigns: Campaigns, verbs: Verbs, people: People, rules: RuleBook, timeline: Timeline
) -> APIRouter:
    """`/v1/campaigns/{id}/…` and `/v1/leads/{id}/…`."""
    api = APIRouter(prefix="/v1")
    _add_campaigns(api, door, campaigns)
    _add_reads(api, door, people, rules, timeline)
    _add_verbs(api, door, verbs, people)
    return api


def _add_campaigns(api: APIRouter, door: Door, campaigns: Campaigns) -> None:
    @api.post("/campaigns/{ref}/{verb}", tags=["campaigns"])
    async def move(
        ref: str,
        verb: Literal["start", "pause", "resume", "cancel"],
        request: Request,
        who: Annotated[Caller, caller("campaigns:write")],
    ) -> Response:
        async def act(tx: Tx) -> Answer:
            id = await take_turn(tx, campaigns, ref_of(ref, "cmp"))
            return Answer(200, await campaigns.move(tx, id, verb, _actor(who)))

        return await door.write(request, who, act)

    @api.get("/campaigns/{ref}/progress", tags=["campaigns"])
    async def progress(ref: str, who: Annotated[Caller, caller("campaigns:read")]) -> Response:
        async def read(tx: Tx) -> Answer:
            return Answer(200, await campaigns.progress(tx, ref_of(ref, "cmp")))

        return await door.read(who, read)


def _add_reads(api: APIRouter, door: Door, people: People, rules: RuleBook, timeline: Timeline) -> None:
    @api.get("/leads/{ref}/explain", tags=["leads"])
    async def explain_(ref: str, who: Annotated[Caller, caller("leads:read")]) -> Response:
        async def read(tx: Tx) -> Answer:
            return Answer(200, await explain(tx, rules, await people.find(tx, ref)))

        return await door.read(who, read)

    @api.get("/leads/{ref}/timeline", tags=["leads"])
    async def timeline_(ref: str, who: Annotated[Caller, caller("events:read")]) -> Response:
        async def read(tx: Tx) -> Answer:
            lead = await people.find(tx, ref)
            subjects = [lead.id, *await attempt_store.calls_of(tx, lead.id)]
            return Answer(200, {"id": lead.shown_id, "object": "timeline", "data": await timeline(tx, subjects)})

        return await door.read(who, read)


def _add_verbs(api: APIRouter, door: Door, verbs: Verbs, people: People) -> None:
    @api.post("/leads/{ref}/pause", tags=["leads"])
    async def pause(ref: str, request: Request, who: Annotated[Caller, caller("leads:write")]) -> Response:
        async def act(tx: Tx) -> Answer:
            await verbs.pause(tx, await _held(tx, people, ref), _actor(who))
            return await _lead(tx, people, ref)

        return await door.write(request, who, act)

    @api.post("/leads/{ref}/resume", tags=["leads"])
    async def resume(ref: str, request: Request, who: Annotated[Caller, caller("leads:write")]) -> Response:
        async def act(tx: Tx) -> Answer:
            await verbs.resume(tx, await _held(tx, people, ref), _actor(who))
            return await _lead(tx, people, ref)

        return await door.write(request, who, act)

    @api.post("/leads/{ref}/callback", tags=["leads"])
    async def call_back(
        ref: str, body: CallbackIn, request: Request, who: Annotated[Caller, caller("leads:write")]
    ) -> Response:
        async def act(tx: Tx) -> Answer:
            await verbs.call_back(tx, await _held(tx, people, ref), max(body.at, tx.now), _actor(who))
            return await _lead(tx, people, ref)

        return await door.write(request, who, act)


def _actor(who: Caller) -> Actor:
    return Actor("api_key", ids.show("key", who.key_id))


async def _held(tx: Tx, people: People, ref: str) -> Lead:
    """The lead, its number's turn taken before its row: the other order would embrace a dispatch. Raises NotFound."""
    await taking_turns(tx, [(await people.find(tx, ref)).row.number_tag])
    return await people.find(tx, ref, lock=True)


async def _lead(tx: Tx, people: People, ref: str) -> Answer:
    lead = await people.find(tx, ref)
    return Answer(
        200,
        {
            "id": lead.shown_id,
            "object": "lead",
            "status": lead.row.status,
            "next_attempt_at": clock.show_or_null(lead.row.next_attempt_at),
        },
    )
