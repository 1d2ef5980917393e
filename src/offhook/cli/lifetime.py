"""How long a process lives: until its work ends, or it is told to stop.

The first Ctrl-C or SIGTERM cancels the work, which closes what it opened; a second one ends the process at once. What
is left then is what a kill -9 leaves: nothing is lost, and the next start adopts the database.
"""

import asyncio
import os
import resource
import signal
from collections.abc import Coroutine
from typing import Any

import typer
import uvloop

from offhook.cli import foreign_logs

MOST_FILES = 65_536


def live(work: Coroutine[Any, Any, None]) -> None:
    """Run the work to its end; returns normally when it was told to stop and did."""
    foreign_logs.retell()
    _allow_many_files()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_until_told(work))


def _allow_many_files() -> None:
    # Every connection is one, and the usual soft limit of 1,024 is far below what the system would grant.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    granted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < granted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))


async def _until_told(work: Coroutine[Any, Any, None]) -> None:
    working = asyncio.create_task(work)
    is_told = False

    def tell(number: int) -> None:
        nonlocal is_told
        if is_told:
            typer.echo("Stopped at once. The next start picks up what is left.", err=True)
            os._exit(128 + number)
        is_told = True
        typer.echo("Stopping; a second Ctrl-C stops at once.", err=True)
        working.cancel()

    for number in _told_by():
        asyncio.get_running_loop().add_signal_handler(number, tell, number)
    try:
        await working
    except asyncio.CancelledError:
        if not is_told:
            raise
        typer.echo("Stopped.", err=True)


def _told_by() -> list[signal.Signals]:
    # Under nohup the hang-up is ignored, and stays so.
    hang_up = [] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP]
    return [signal.SIGINT, signal.SIGTERM, *hang_up]
