"""`offhook listen`: the events of a running Offhook on this terminal, and on to a program on this machine.

Nothing has to be reachable from outside, and no endpoint is made: it follows the log and sends what it reads itself.
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import orjson
import typer

from offhook import clock
from offhook.cli.follow import follow
from offhook.cli.forward import Forwarded, Forwarder, check_target, secret_for
from offhook.cli.lifetime import live
from offhook.cli.screen import columns, machine_line, say, table
from offhook.cli.server import Way, connected
from offhook.outbound import Outbound


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be listened for, and where it goes; without `forward_to` it is only shown."""

    types: Sequence[str]
    forward_to: str | None
    secret: str | None
    as_json: bool


def listen(way: Way, wanted: Wanted) -> None:
    """Until told to stop. Raises Unavailable, Invalid or Refused as `follow` does."""
    live(_listen(way, wanted))


async def _listen(way: Way, wanted: Wanted) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(connected(way))
        forwarder, about = None, {"Listening": way.url, "Events": ", ".join(wanted.types)}
        if wanted.forward_to is not None:
            outbound = Outbound()
            stack.push_async_callback(outbound.close)
            target = await check_target(outbound, wanted.forward_to)
            secret = secret_for(wanted.secret, way.key)
            forwarder = Forwarder(outbound, target, secret, _note)
            about |= {"Forwarding to": target, "Secret": secret.reveal()}
        messages = await stack.enter_async_context(aclosing(follow(partial(server.stream, wanted.types), _note)))
        is_announced = False
        async for message in messages:
            if not is_announced:
                _announce(about, as_json=wanted.as_json)
                is_announced = True
            if message.data:
                event = orjson.loads(message.data)
                forwarded = await forwarder.forward(event, message.data) if forwarder else None
                _tell(event, forwarded, as_json=wanted.as_json)


def _note(text: str) -> None:
    typer.echo(text, err=True)


def _announce(about: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        machine_line({"object": "listening", **{name.lower().replace(" ", "_"): text for name, text in about.items()}})
        return
    table(about)
    say("Ctrl-C stops.")


def _tell(event: dict[str, Any], forwarded: Forwarded | None, *, as_json: bool) -> None:
    now = datetime.now(UTC)
    if as_json:
        came = forwarded and {name: getattr(forwarded, name) for name in Forwarded.__slots__}
        machine_line({"object": "event", "at": clock.show(now), "forwarded": came, "event": event})
        return
    head = [
        (f"{now.astimezone():%H:%M:%S}", "dim"),
        (event["type"].ljust(28), "bold"),
        (event["subject"]["id"].ljust(31), ""),
    ]
    columns(*head, *(_came(forwarded) if forwarded else ()))


def _came(forwarded: Forwarded) -> list[tuple[str, str]]:
    tried = [(f"after {forwarded.tries} tries", "dim")] if forwarded.tries > 1 else []
    if forwarded.status is None:
        return [(f"not told: {forwarded.error}", "bold red"), *tried]
    colour = {2: "green", 3: "yellow", 4: "yellow"}.get(forwarded.status // 100, "bold red")
    return [(str(forwarded.status), colour), (f"{forwarded.ms:.0f} ms", "dim"), *tried]
