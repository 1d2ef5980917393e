"""The paths of replays."""

from fastapi import APIRouter, Request, Response

from offhook import ids
from offhook.db import Tx
from offhook.events import Actor
from offhook.events.types import check_glob
from offhook.http import Answer, Caller, Door, caller
from offhook.webhooks.deliveries_http import endpoint_id
from offhook.webhooks.delivery_store import Wanted, like
from offhook.webhooks.endpoints import Endpoints
from offhook.webhooks.replays import Replays
from offhook.webhooks.wire import ReplayFilter, ReplaysIn


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
    endpoint = await endpoint_id(tx, endpoints, asked.endpoint)
    return Wanted(
        endpoint, "dead", None if asked.type == "*" else like(asked.type), died_from=asked.from_, died_to=asked.to
    )


def _actor(who: Caller) -> Actor:
    return Actor("api_key", ids.show("key", who.key_id))
