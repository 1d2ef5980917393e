"""`offhook up`: everything in one process.

Settings, data directory and port are looked at before anything is touched. Then the database is started and migrated,
the house is built over it, the first workspace is made, and the door opens. It closes in the opposite order.
"""

import asyncio
import time
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

import psutil

from offhook.cli import credentials, data_dir
from offhook.cli.database import inhabited, kept_running, migrated
from offhook.cli.lifetime import live
from offhook.cli.screen import say, table
from offhook.serve import living_in, serve, taking_port
from offhook.settings import Settings

if TYPE_CHECKING:
    from offhook.wiring import House

_FIRST_WORKSPACE = "My workspace"


def up(settings: Settings) -> None:
    """Run until told to stop. Raises CannotStart or Unavailable, and leaves nothing running then."""
    live(_up(settings))


async def _up(settings: Settings) -> None:
    data_dir.prepare(settings.data_dir)
    with taking_port(settings.host, settings.port) as port:
        settings = settings.model_copy(update={"port": port.getsockname()[1]})
        async with kept_running(settings) as url:
            house = await _built(settings, url)
            async with living_in(house):
                await _make_first_workspace(house)
                await serve(house.app, port, partial(_announce, settings), house.streams.end)


async def _built(settings: Settings, url: str) -> "House":
    for name in await asyncio.to_thread(migrated, url):
        say(f"Applied migration {name}.")
    from offhook.wiring import House  # it takes a second, which a start that is refused need not wait

    # A ring that was lost is never replaced: without its keys every person is erased and every suppression blind.
    is_new = not settings.key_ring_file.exists() and not await asyncio.to_thread(inhabited, url)
    return House.build(settings, url, engine=True, create_ring=is_new)


async def _make_first_workspace(house: "House") -> None:
    made = await house.first_workspace(_FIRST_WORKSPACE)
    if made is not None:
        credentials.write(house.settings.data_dir, asdict(made))


def _announce(settings: Settings) -> None:
    base = base_url(settings)
    where, test_key = credentials.file_in(settings.data_dir), credentials.key_in(settings.data_dir, "sandbox")
    say(f"Offhook is ready, {time.time() - psutil.Process().create_time():.1f} s after it was called.", bold=True)
    table(
        {
            "API": f"{base}/v1",
            "Docs": f"{base}/docs",
            "Credentials": str(where) if test_key else f"{where} is gone; `offhook keys create` makes new ones",
            **({"Test key": f"{test_key}  (sandbox only)"} if test_key else {}),
            "Data": str(settings.data_dir.absolute()),
        }
    )
    say("Ctrl-C stops.")


def base_url(settings: Settings) -> str:
    """The URL for somebody on this machine; the one the world uses when the settings name it."""
    if settings.public_url:
        return settings.public_url.rstrip("/")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 # compared, not bound
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"
