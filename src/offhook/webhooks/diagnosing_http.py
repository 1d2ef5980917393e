"""The path of a diagnosis."""

from uuid import UUID

from fastapi import APIRouter, Response

from offhook.db import Tx
from offhook.http import Answer, Caller, Door, caller
from offhook.http.resources import ref_of
from offhook.webhooks import diagnosing
from offhook.webhooks.callers import actor_of
from offhook.webhooks.diagnosing import Diagnosing
from offhook.webhooks.endpoints import Endpoints


def diagnosing_router(door: Door, endpoints: Endpoints, diagnosing_: Diagnosing) -> APIRouter:
    """`/diagnose`, which answers when everything is found out, within 30 seconds."""
    api = APIRouter(prefix="/v1/webhook-endpoints", tags=["webhook-endpoints"])

    @api.post("/{ref}/diagnose", name="Diagnose a webhook endpoint")
    async def diagnose(ref: str, who: Caller = caller("webhooks:write")) -> Response:
        """Sends a signed `webhook.test` that is no delivery. At most ten times a minute for an endpoint."""
        found: list[UUID] = []

        async def read(tx: Tx) -> Answer:
            found.append(await endpoints.id_of(tx, ref_of(ref, "whe")))
            return Answer(204, None)

        await door.read(who, read)
        told = await diagnosing_.diagnose(who.tenant, found[0], actor_of(who))
        return Answer(200, diagnosing.shown(found[0], told)).response()

    return api
