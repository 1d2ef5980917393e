"""`offhook demo`: builds the stage, runs the story, tells the ledger."""

import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from offhook.demo import export, ledger, screen
from offhook.demo.api import Api
from offhook.demo.parts import Part, free_port, module, offhook, run
from offhook.demo.store import Journal
from offhook.demo.story import MAX_LIVE_TRANSFERS, Glance, ReceiverDoor, Story
from offhook.errors import CannotStart


def demo(
    count: Annotated[
        int | None, typer.Option("--count", metavar="N", min=1, help="Take the first N rows only.")
    ] = None,
    leads: Annotated[Path | None, typer.Option("--leads", metavar="FILE", help="Another CRM export.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Tell the ledger to machines.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the data directory, and say where it is.")] = False,
    url: Annotated[str | None, typer.Option("--url", metavar="URL", help="Use the Offhook that runs there.")] = None,
    key: Annotated[
        str | None, typer.Option("--key", envvar="OFFHOOK_API_KEY", metavar="KEY", help="Its sandbox key (ofk_test_…).")
    ] = None,
) -> None:
    """Ten thousand leads at nine in the morning, five humans, and a receiver that goes down: the whole story.

    The sandbox is emptied first. Exits 0 only when every promise held.
    """
    console = Console(highlight=False, stderr=as_json)
    exported = export.read(leads, count)
    found = run(_play(exported, _stage(url, key, keep, console), console))
    if as_json:
        typer.echo(json.dumps(found.shown(), indent=2))
    else:
        screen.tell(console, found)
    raise typer.Exit(0 if found.held else 1)


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the demo plays: a scratch directory, and a running Offhook when one was named."""

    scratch: Path
    keep: bool
    url: str | None
    key: str | None


def _stage(url: str | None, key: str | None, keep: bool, console: Console) -> Stage:
    if url and not key:
        raise CannotStart("no_key", "--url needs --key (or OFFHOOK_API_KEY): the sandbox key of that installation.")
    scratch = Path(tempfile.mkdtemp(prefix="offhook-demo-"))
    if keep:
        console.print(f"Data and logs: {scratch}")
    return Stage(scratch, keep, url, key)


async def _play(exported: export.Export, stage: Stage, console: Console) -> ledger.Ledger:
    async with AsyncExitStack() as stack:
        if not stage.keep:
            stack.callback(shutil.rmtree, stage.scratch, ignore_errors=True)
        watch = stack.enter_context(screen.Screen(console))
        watch(Glance(rows=exported.rows))
        url, key = await stack.enter_async_context(_running(stage))
        hook_url, door = await stack.enter_async_context(_receiving(stage.scratch))
        api = await stack.enter_async_context(Api(url, key))
        story = Story(api, door, exported, watch)
        await story.set_up(hook_url, key)
        times = await story.run()
        journal = Journal(stage.scratch / "receiver.sqlite")
        stack.callback(journal.close)
        told = await story.told(journal)
        forged = (await door.tell("counts"))["forged"]
        if stage.url:
            await story.clear_away()
        return ledger.draw_up(exported, journal, told, times, forged, MAX_LIVE_TRANSFERS)


@asynccontextmanager
async def _running(stage: Stage) -> AsyncIterator[tuple[str, str]]:
    """URL and sandbox key of the Offhook to use; one of our own ends with the demo."""
    if stage.url and stage.key:
        yield stage.url, stage.key
        return
    port, data = free_port(), stage.scratch / "data"
    hub = Part("offhook up", offhook("up", "--port", str(port), "--data-dir", str(data)), stage.scratch / "offhook.log")
    url = f"http://127.0.0.1:{port}"
    try:
        await hub.start(f"{url}/readyz")
        yield url, json.loads((data / "credentials.json").read_text())["test_key"]
    finally:
        await hub.stop()


@asynccontextmanager
async def _receiving(scratch: Path) -> AsyncIterator[tuple[str, ReceiverDoor]]:
    """The receiver's process: where it takes webhooks, and its control door."""
    port, control_port = free_port(), free_port()
    where = ("--port", str(port), "--control-port", str(control_port), "--journal", str(scratch / "receiver.sqlite"))
    receiver = Part("the receiver", module("offhook.demo.receiver", *where), scratch / "receiver.log")
    try:
        await receiver.start(f"http://127.0.0.1:{control_port}/counts")
        yield f"http://127.0.0.1:{port}/hooks", ReceiverDoor(control_port)
    finally:
        await receiver.stop()
