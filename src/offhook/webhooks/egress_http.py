"""The path that says where webhooks come from."""

import hashlib
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from fastapi import APIRouter, Header, Response

from offhook.http import Answer, Caller, caller


def egress_router(addresses: Iterable[IPv4Network | IPv6Network]) -> APIRouter:
    """The addresses that the operator published, for a receiver's firewall. `published` is false when he named none."""
    api = APIRouter(prefix="/v1", tags=["webhook-endpoints"])
    shown = sorted({str(one) for one in addresses})
    body = {"object": "egress", "addresses": shown, "published": bool(shown)}
    etag = f'"{hashlib.sha256(" ".join(shown).encode()).hexdigest()[:16]}"'

    @api.get("/egress", name="List the addresses that webhooks come from")
    async def get(
        if_none_match: Annotated[
            str | None, Header(description="The ETag that was read; 304 while it is the same.")
        ] = None,
        who: Caller = caller("webhooks:read"),
    ) -> Response:
        known = {one.strip().removeprefix("W/") for one in (if_none_match or "").split(",")}
        same = etag in known or "*" in known
        return Answer(304 if same else 200, None if same else body, {"ETag": etag}).response()

    return api
