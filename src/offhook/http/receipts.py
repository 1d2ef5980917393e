"""`/v1/receipts/{id}`: the signed paper that an erasure leaves behind."""

from typing import Annotated

from fastapi import APIRouter, Response

from offhook import ids
from offhook.db import Tx
from offhook.errors import NotFound
from offhook.http import Answer, Caller, Door, caller
from offhook.privacy import Vault


def router(door: Door, vault: Vault) -> APIRouter:
    """The route of receipts. They hold nothing personal, so reading leads is enough to see one."""
    api = APIRouter(prefix="/v1/receipts", tags=["privacy"])

    @api.get("/{id}")
    async def get(id: str, who: Annotated[Caller, caller("leads:read")]) -> Response:
        async def read(tx: Tx) -> Answer:
            try:
                receipt = await vault.receipt(tx, ids.read("rcp", id))
            except ids.NotAnId:
                receipt = None
            if receipt is None:
                raise NotFound("no_such_receipt", "There is no receipt with this id.", param="id")
            return Answer(200, receipt.shown())

        return await door.read(who, read)

    return api
