"""`/v1/jobs/{id}`: how far a long job is."""

from typing import Annotated

from fastapi import APIRouter, Response

from offhook import ids
from offhook.db import Tx
from offhook.errors import NotFound
from offhook.http import Answer, Caller, Door, caller
from offhook.jobs import progress


def router(door: Door) -> APIRouter:
    """The route of a job's progress, which tells counts and codes only."""
    api = APIRouter(prefix="/v1/jobs", tags=["jobs"])

    @api.get("/{id}")
    async def get(id: str, who: Annotated[Caller, caller("jobs:read")]) -> Response:
        async def read(tx: Tx) -> Answer:
            try:
                job = ids.read("job", id)
            except ids.NotAnId:
                raise NotFound("no_such_job", "There is no job with this id.", param="id") from None
            return Answer(200, await progress.show(tx, job))

        return await door.read(who, read)

    return api
