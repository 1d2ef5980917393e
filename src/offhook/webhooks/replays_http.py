"""The paths of replays and cancellations."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from offhook import ids
from offhook.db import Tx
from offhook.errors import Fault, Invalid, NotFound
from offhook.events import Actor
from offhook.events.types import check_glob
from offhook.http import Answer, Caller, Door, Page, caller, listed, page
from offhook.http.resources import DryRun, ref_of
from offhook.webhooks.deliveries_http import endpoint_id
from offhook.webhooks.endpoints import Endpoints
from offhook.webhooks.replay import shown
from offhook.webhooks.replay_filter import Ended, Filter, Open, Verb
from offhook.webhooks.replays import Asked, Replays
from offhook.webhooks.replays_wire import CancellationsIn, FilterIn, ReplaysIn

Ask = Callable[[Tx], Awaitable[Asked]]
Paged = Annotated[Page, Depends(page)]
_PREFIXES: dict[Verb, ids.Prefix] = {"replay": "rpl", "cancel": "cnl"}
_PLURALS: dict[Verb, str] = {"replay": "replays", "cancel": "cancellations"}


def replay_router(door: Door, replays: Replays, endpoints: Endpoints) -> APIRouter:
    """Replays of many, and cancellations of many."""
    api = APIRouter(prefix="/v1")
    _add_starts(api, door, replays, endpoints)
    for verb in _PLURALS:
        _add_reads(api, door, replays, verb)
        _add_verbs(api, door, replays, verb)
    return api


def _add_starts(api: APIRouter, door: Door, replays: Replays, endpoints: Endpoints) -> None:
    async def start(request: Request, who: Caller, dry_run: bool, ask: Ask) -> Response:
        async def preview(tx: Tx) -> Answer:
            return Answer(200, await replays.preview(tx, await ask(tx)))

        async def work(tx: Tx) -> Answer:
            asked = await ask(tx)
            begun = await replays.start(tx, asked, _actor(who))
            return Answer(202, begun, {"Location": f"/v1/{_PLURALS[asked.verb]}/{begun['id']}"})

        return await (door.preview(who, preview) if dry_run else door.write(request, who, work))

    @api.post("/replays", status_code=202, name="Replay deliveries", tags=["replays"])
    async def replay(
        request: Request, body: ReplaysIn, dry_run: DryRun = False, who: Caller = caller("webhooks:write")
    ) -> Response:
        """Ended deliveries once more under their own ids, or what an endpoint never got. A dry run counts what it would be.

        Where there is more than can be counted in a moment, `total` (of a dry run, `count`) is null, and
        `total_at_least` (`count_at_least`) tells how many were found by then: none, perhaps, of very many.
        """
        if body.missing and body.filter.status:
            detail = "What an endpoint never got has no status there; leave it out."
            raise Invalid([Fault("filter.status", "never_tried", detail)])

        async def ask(tx: Tx) -> Asked:
            status: Ended | None = None if body.missing else body.filter.status or "dead"
            wanted = await _wanted(tx, endpoints, body.filter, status)
            return Asked(verb="replay", filter=wanted, missing=body.missing, rate_per_s=body.rate_per_s)

        return await start(request, who, dry_run, ask)

    @api.post("/cancellations", status_code=202, name="Cancel deliveries", tags=["cancellations"])
    async def cancel(
        request: Request, body: CancellationsIn, dry_run: DryRun = False, who: Caller = caller("webhooks:write")
    ) -> Response:
        """One that is being sent at the moment may still arrive, once; it is not tried again. It is counted as replays are."""

        async def ask(tx: Tx) -> Asked:
            wanted = await _wanted(tx, endpoints, body.filter, body.filter.status)
            return Asked(verb="cancel", filter=wanted, rate_per_s=body.rate_per_s)

        return await start(request, who, dry_run, ask)


def _add_reads(api: APIRouter, door: Door, replays: Replays, verb: Verb) -> None:
    plural = _PLURALS[verb]

    async def list_(page: Paged, who: Caller = caller("webhooks:read")) -> Response:
        start = page.start(UUID)

        async def read(tx: Tx) -> Answer:
            found = await replays.list(tx, verb, start[0] if start else None, page.most)
            return Answer(200, listed(found, page, lambda one: (one.id,), shown))

        return await door.read(who, read)

    async def get(id: str, who: Caller = caller("webhooks:read")) -> Response:
        async def read(tx: Tx) -> Answer:
            return Answer(200, await replays.find(tx, verb, _id(verb, id)))

        return await door.read(who, read)

    api.get(f"/{plural}", name=f"List {plural}", tags=[plural])(list_)
    api.get(f"/{plural}/{{id}}", name=f"Get one of {plural}", tags=[plural])(get)


def _add_verbs(api: APIRouter, door: Door, replays: Replays, verb: Verb) -> None:
    plural = _PLURALS[verb]

    def add(name: str, act: Callable[[Tx, Verb, UUID], Awaitable[dict[str, Any]]]) -> None:
        async def run(id: str, request: Request, who: Caller = caller("webhooks:write")) -> Response:
            async def work(tx: Tx) -> Answer:
                return Answer(200, await act(tx, verb, _id(verb, id)))

            return await door.write(request, who, work)

        api.post(f"/{plural}/{{id}}/{name}", name=f"{name.capitalize()} one of {plural}", tags=[plural])(run)

    add("pause", replays.pause)
    add("resume", replays.resume)
    add("cancel", replays.cancel)


async def _wanted(tx: Tx, endpoints: Endpoints, asked: FilterIn, status: Ended | Open | None) -> Filter:
    check_glob(asked.type, "filter.type")
    # What an endpoint missed can be told only to one that is there; deliveries outlive theirs.
    if status is None and asked.endpoint is not None:
        endpoint: UUID | None = await endpoints.id_of(tx, ref_of(asked.endpoint, "whe"))
    else:
        endpoint = await endpoint_id(tx, endpoints, asked.endpoint)
    return Filter(
        endpoint=endpoint,
        status=status,
        type=asked.type,
        subject=asked.subject,
        cause=asked.cause,
        told_from=asked.from_,
        told_to=asked.to,
        died_from=asked.died_from,
        died_to=asked.died_to,
    )


def _id(verb: Verb, text: str) -> UUID:
    try:
        return ids.read(_PREFIXES[verb], text)
    except ids.NotAnId as why:
        raise NotFound("no_such_replay", f"This is {why}.", param="id") from None


def _actor(who: Caller) -> Actor:
    return Actor("api_key", ids.show("key", who.key_id))
