"""A process of loops only: jobs, dispatcher, webhook sender, upkeep. It takes no requests but those of its watchers.

Several may run over one database, on several machines; leases keep them apart. One that is killed loses nothing: its
leases end, and another takes them over.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from offhook import metrics
from offhook.serve import living_in, serve

if TYPE_CHECKING:
    from offhook.wiring import House


async def work(house: "House", watched_on: socket.socket | None, on_ready: Callable[[], None]) -> None:
    """Run the loops until cancelled; on `watched_on`, tell /healthz, /readyz and /metrics."""
    async with living_in(house):
        if watched_on is not None:
            await serve(_for_watchers(house), watched_on, on_ready)
        on_ready()
        await asyncio.Event().wait()


def _for_watchers(house: "House") -> Starlette:
    async def alive(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(_: Request) -> Response:
        parts = await house.ready()
        return JSONResponse(parts, 200 if set(parts.values()) <= {"ok"} else 503)

    async def counted(_: Request) -> Response:
        return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)

    return Starlette(routes=[Route("/healthz", alive), Route("/readyz", ready), Route("/metrics", counted)])
