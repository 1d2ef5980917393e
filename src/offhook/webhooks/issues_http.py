"""The paths of delivery issues."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from offhook import ids
from offhook.db import Tx
from offhook.errors import NotFound
from offhook.http import Answer, Caller, Door, Page, caller, listed, page
from offhook.webhooks import issue_store, issues
from offhook.webhooks.callers import actor_of
from offhook.webhooks.deliveries_http import endpoint_id
from offhook.webhooks.endpoints import Endpoints
from offhook.webhooks.issue_store import Status
from offhook.webhooks.issues import StartReplay


def issue_router(door: Door, endpoints: Endpoints, start_replay: StartReplay | None) -> APIRouter:
    """Issues, and what can be done about them; replaying only where there is somebody who starts replays."""
    api = APIRouter(prefix="/v1/delivery-issues", tags=["delivery-issues"])
    _add_reads(api, door, endpoints)
    for verb, status in VERBS.items():
        _add_verb(api, door, verb, status)
    if start_replay:
        _add_replay(api, door, start_replay)
    return api


VERBS: dict[str, Status] = {"resolve": "resolved", "ignore": "ignored", "reopen": "open"}


def _add_reads(api: APIRouter, door: Door, endpoints: Endpoints) -> None:
    @api.get("", name="List delivery issues")
    async def list_(
        page: Annotated[Page, Depends(page)],
        who: Caller = caller("webhooks:read"),
        endpoint: Annotated[str | None, Query(description="whe_… or ext:…")] = None,
        status: Status | None = None,
    ) -> Response:
        async def read(tx: Tx) -> Answer:
            start = page.start(UUID)
            wanted = await endpoint_id(tx, endpoints, endpoint)
            rows = await issue_store.page(tx, wanted, status, start[0] if start else None, page.most)
            return Answer(200, listed(rows, page, lambda row: (row.id,), issues.shown))

        return await door.read(who, read)

    @api.get("/{id}", name="Get a delivery issue")
    async def get(id: str, who: Caller = caller("webhooks:read")) -> Response:
        async def read(tx: Tx) -> Answer:
            return Answer(200, await issues.find(tx, _issue(id)))

        return await door.read(who, read)


def _add_verb(api: APIRouter, door: Door, verb: str, status: Status) -> None:
    @api.post(f"/{{id}}/{verb}", name=f"{verb.capitalize()} a delivery issue")
    async def turn(id: str, request: Request, who: Caller = caller("webhooks:write")) -> Response:
        async def work(tx: Tx) -> Answer:
            return Answer(200, await issues.turn(tx, _issue(id), status))

        return await door.write(request, who, work)


def _add_replay(api: APIRouter, door: Door, start: StartReplay) -> None:
    @api.post("/{id}/replay", status_code=202, name="Replay what died of a delivery issue")
    async def replay(id: str, request: Request, who: Caller = caller("webhooks:write")) -> Response:
        async def work(tx: Tx) -> Answer:
            job = await issues.replay(tx, _issue(id), actor_of(who), start)
            return Answer(202, job, {"Location": f"/v1/replays/{job['id']}"})

        return await door.write(request, who, work)


def _issue(text: str) -> UUID:
    try:
        return ids.read("iss", text)
    except ids.NotAnId as why:
        raise NotFound("no_such_issue", f"This is {why}.", param="id") from None
