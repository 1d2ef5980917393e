"""`offhook api` and `offhook worker`: the halves of `offhook up`, for several processes and machines over one database.

They migrate nothing and make nothing: a database that is behind or a missing key ring ends their start.
"""

import asyncio
from contextlib import nullcontext
from functools import partial

from offhook.cli.database import lacking, required
from offhook.cli.lifetime import live
from offhook.cli.screen import say
from offhook.cli.up import base_url
from offhook.errors import CannotStart
from offhook.serve import living_in, serve, taking_port
from offhook.settings import Settings
from offhook.wiring import House
from offhook.worker import work


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
        await _refuse_when_behind(url)
        house = House.build(settings, url, engine=False)
        async with living_in(house):
            await serve(house.app, port, partial(say, f"The API is ready at {base_url(settings)}/v1. Ctrl-C stops."))


async def _worker(settings: Settings, metrics_port: int | None) -> None:
    url = required(settings)
    watched = nullcontext() if metrics_port is None else taking_port(settings.host, metrics_port)
    with watched as port:
        await _refuse_when_behind(url)
        house = House.build(settings, url, engine=True)
        told = (
            "The worker is ready." if port is None else f"The worker is ready, metrics on port {port.getsockname()[1]}."
        )
        await work(house, port, partial(say, f"{told} Ctrl-C stops."))


async def _refuse_when_behind(url: str) -> None:
    if missing := await asyncio.to_thread(lacking, url):
        raise CannotStart("migrations_behind", f"The database lacks {', '.join(missing)}. Run `offhook migrate` first.")
