"""The paths of post-backs, opt-outs and suppressions."""

from contextlib import suppress
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from offhook import clock, ids
from offhook.compliance.suppression import page as suppressions_page
from offhook.db import Tx
from offhook.errors import Fault, Invalid
from offhook.events import Actor
from offhook.http import Answer, Caller, Door, Page, caller, listed, page
from offhook.http.batch import Batch, Batches, Operation
from offhook.sync.optouts import OptOuts
from offhook.sync.postbacks import PostBacks
from offhook.sync.wire import OptOutIn, PostBackIn


def router(door: Door, post_backs: PostBacks, opt_outs: OptOuts) -> APIRouter:
    """`/v1/postbacks`, `/v1/opt-outs`, `/v1/suppressions`."""
    api = APIRouter(prefix="/v1")

    @api.post("/postbacks", status_code=201, tags=["sync"])
    async def post_back(request: Request, said: PostBackIn, who: Annotated[Caller, caller("sync:write")]) -> Response:
        async def act(tx: Tx) -> Answer:
            return Answer(*await post_backs.take(tx, said, _actor(who)))

        return await door.write(request, who, act)

    @api.post("/postbacks/batch", tags=["sync"])
    async def post_back_batch(request: Request, body: Batch, who: Annotated[Caller, caller("sync:write")]) -> Response:
        """Each `create` is one post-back. Those that repeat one another are applied once."""

        async def one(tx: Tx, operation: Operation) -> Answer:
            return Answer(*await post_backs.take(tx, _said(operation), _actor(who)))

        async def act(tx: Tx) -> Answer:
            await post_backs.take_turns(tx, _readable(body))
            return Answer(200, await Batches(one).run(tx, body))

        return await door.write(request, who, act)

    @api.post("/opt-outs", status_code=201, tags=["sync"])
    async def opt_out(request: Request, wish: OptOutIn, who: Annotated[Caller, caller("sync:write")]) -> Response:
        async def act(tx: Tx) -> Answer:
            new, answer = await opt_outs.take(tx, wish, _actor(who))
            return Answer(201 if new else 200, answer)

        return await door.write(request, who, act)

    @api.get("/suppressions", tags=["sync"])
    async def suppressions(
        page: Annotated[Page, Depends(page)], who: Annotated[Caller, caller("sync:read")]
    ) -> Response:
        async def read(tx: Tx) -> Answer:
            start = page.start(UUID)
            rows = await suppressions_page(tx, start[0] if start else None, page.most)
            return Answer(200, listed(rows, page, lambda row: (row["id"],), _suppression))

        return await door.read(who, read)

    return api


def _said(operation: Operation) -> PostBackIn:
    if operation.op != "create" or operation.id is not None:
        detail = 'A post-back is only created: {"op": "create", "body": {…}}.'
        raise Invalid([Fault("op", "bad_operation", detail)])
    return PostBackIn.read(operation.body)


def _readable(batch: Batch) -> list[PostBackIn]:
    """The post-backs of the batch without those that are none; these are refused when it is their turn."""
    found = []
    for operation in batch.operations:
        with suppress(Invalid):
            found.append(_said(operation))
    return found


def _actor(who: Caller) -> Actor:
    return Actor("api_key", ids.show("key", who.key_id))


def _suppression(row: dict[str, Any]) -> dict[str, Any]:
    times = {name: clock.show(row[name]) for name in ("effective_at", "created_at", "updated_at")}
    return {
        "id": ids.show("sup", row["id"]),
        "object": "suppression",
        **{k: row[k] for k in ("scope", "kind", "source", "version")},
        **times,
    }
