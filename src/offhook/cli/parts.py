"""`offhook api` and `offhook worker`: the halves of `offhook up`, for several processes and machines over one database.

They migrate nothing and make nothing: a database that is behind or a missing key ring ends their start.
"""

import asyncio
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

from offhook.cli.database import lacking, required
from offhook.cli.lifetime import live
from offhook.cli.screen import say
from offhook.cli.up import base_url
from offhook.errors import CannotStart
from offhook.serve import living_in, serve, taking_port
from offhook.settings import Settings
from offhook.worker import work

if TYPE_CHECKING:
    from offhook.wiring import House


def api(settings: Settings) -> None:
    """Answer the API until told to stop. Raises CannotStart or Unavailable."""
    live(_api(settings))


def worker(settings: Settings, metrics_port: int | None) -> None:
    """Run the loops until told to stop. Raises CannotStart or Unavailable."""
    live(_worker(settings, metrics_port))


async def _api(settings: Settings) -> None:
    url = required(settings)
    with taking_port(settings.host, settings.port) as port:
        settings = settings.model_copy(update={"port": port.getsockname()[1]})
        house = await _built(settings, url, engine=False)
        async with living_in(house):
            ready = partial(say, f"The API is ready at {base_url(settings)}/v1. Ctrl-C stops.")
            await serve(house.app, port, ready, house.streams.end)


async def _worker(settings: Settings, metrics_port: int | None) -> None:
    url = required(settings)
    watched = nullcontext() if metrics_port is None else taking_port(settings.host, metrics_port)
    with watched as port:
        house = await _built(settings, url, engine=True)
        metrics = f", metrics on port {port.getsockname()[1]}" if port else ""
        await work(house, port, partial(say, f"The worker is ready{metrics}. Ctrl-C stops."))


async def _built(settings: Settings, url: str, *, engine: bool) -> "House":
    if missing := await asyncio.to_thread(lacking, url):
        raise CannotStart("migrations_behind", f"The database lacks {', '.join(missing)}. Run `offhook migrate` first.")
    from offhook.wiring import House  # it takes a second, which a start that is refused need not wait

    return House.build(settings, url, engine=engine)
