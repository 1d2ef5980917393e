"""Every command with its options, on one page. What each does is imported when it is called, so that --help is quick."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from offhook.settings import Settings

app = typer.Typer(
    name="offhook",
    help="The self-hosted hub between a CRM, any voice platform, and a sales floor.",
    epilog="Settings come from offhook.toml, then OFFHOOK_* variables, then the options here; the later wins.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
keys_app = typer.Typer(help="The API keys of a workspace, made and revoked over the database.", no_args_is_help=True)

DatabaseUrl = Annotated[
    str | None, typer.Option("--database-url", metavar="URL", help="A PostgreSQL 15 or newer of your own.")
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", metavar="DIR", help="Holds the embedded database and the keys; .data by default."),
]
Host = Annotated[str | None, typer.Option("--host", metavar="ADDRESS", help="Listen there; 127.0.0.1 by default.")]
Port = Annotated[int | None, typer.Option("--port", metavar="PORT", help="8400 by default; 0 takes a free one.")]
Json = Annotated[bool, typer.Option("--json", help="Tell it to machines.")]
Url = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="Where Offhook runs; http://127.0.0.1:8400 by default.")
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        envvar="OFFHOOK_API_KEY",
        metavar="KEY",
        help="By default the first one, in DATA_DIR/credentials.json.",
    ),
]
Workspace = Annotated[str | None, typer.Option("--workspace", metavar="ID", help="Needed when there are several.")]

# `demo` and `bench` have pages of their own, which are opened when they are called: they take their options, --help too.
_PASSED_ON: dict[str, Any] = {
    "add_help_option": False,
    "context_settings": {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False},
}


@app.command()
def up(database_url: DatabaseUrl = None, host: Host = None, port: Port = None, data_dir: DataDir = None) -> None:
    """Start everything in one process, on a PostgreSQL that it brings along or on yours.

    The first start makes a workspace with keys for both environments and writes them to DATA_DIR/credentials.json.
    """
    from offhook.cli.up import up

    up(_settled(database_url=database_url, host=host, port=port, data_dir=data_dir))


@app.command()
def api(database_url: DatabaseUrl = None, host: Host = None, port: Port = None, data_dir: DataDir = None) -> None:
    """Answer the API only, without the loops: any number of these over one database.

    All processes of an installation need the same key ring.
    """
    from offhook.cli.parts import api

    api(_settled(database_url=database_url, host=host, port=port, data_dir=data_dir))


@app.command()
def worker(
    database_url: DatabaseUrl = None,
    metrics_port: Annotated[
        int | None,
        typer.Option("--metrics-port", metavar="PORT", help="Tell /healthz, /readyz and /metrics there.", min=0),
    ] = None,
    host: Host = None,
    data_dir: DataDir = None,
) -> None:
    """Run the loops only (jobs, dialing, webhooks, upkeep): any number of these over one database.

    All processes of an installation need the same key ring.
    """
    from offhook.cli.parts import worker

    worker(_settled(database_url=database_url, host=host, data_dir=data_dir), metrics_port)


@app.command()
def migrate(
    database_url: DatabaseUrl = None,
    data_dir: DataDir = None,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 when the database is behind.")] = False,
    as_json: Json = False,
) -> None:
    """Bring the database up to date, and list what was applied."""
    from offhook.cli.migrate import migrate

    migrate(_settled(database_url=database_url, data_dir=data_dir), only_check=check, as_json=as_json)


@app.command()
def doctor(
    database_url: DatabaseUrl = None,
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Examine the installation, and say how to mend what is wrong. Changes nothing; exits 1 when something fails."""
    from offhook.cli.doctor import doctor

    doctor({"database_url": database_url, "host": host, "port": port, "data_dir": data_dir}, as_json=as_json)


@keys_app.command("list")
def list_keys(
    workspace: Workspace = None, database_url: DatabaseUrl = None, data_dir: DataDir = None, as_json: Json = False
) -> None:
    """The keys of both environments, with hints in place of the keys themselves."""
    from offhook.cli.keys import list_keys

    list_keys(_settled(database_url=database_url, data_dir=data_dir), workspace, as_json=as_json)


@keys_app.command("create")
def create_key(
    name: Annotated[str, typer.Option("--name", metavar="TEXT", help="What it is for; shown in lists.")],
    environment: Annotated[Literal["live", "sandbox"], typer.Option("--environment")] = "sandbox",
    scopes: Annotated[
        str, typer.Option("--scopes", metavar="A,B", help="Such as leads:write,webhooks:read; * may everything.")
    ] = "*",
    rate: Annotated[int, typer.Option("--rate", metavar="N", help="Requests per second.", min=1)] = 100,
    workspace: Workspace = None,
    database_url: DatabaseUrl = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Make a key, and show it this once."""
    from offhook.cli.keys import Wanted, create_key

    wanted = Wanted(name, environment, scopes.split(","), rate)
    create_key(_settled(database_url=database_url, data_dir=data_dir), workspace, wanted, as_json=as_json)


@keys_app.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="As `offhook keys list` tells it: key_…")],
    workspace: Workspace = None,
    database_url: DatabaseUrl = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Revoke a key: every process refuses it within a second. Revoking it again changes nothing."""
    from offhook.cli.keys import revoke_key

    revoke_key(_settled(database_url=database_url, data_dir=data_dir), workspace, key_id, as_json=as_json)


app.add_typer(keys_app, name="keys")


@app.command()
def listen(
    forward_to: Annotated[
        str | None, typer.Option("--forward-to", metavar="URL", help="Send each event there, as a signed webhook.")
    ] = None,
    events: Annotated[
        str, typer.Option("--events", metavar="A,B", help="Types and globs, such as call.*,lead.accepted.")
    ] = "*",
    environment: Annotated[
        Literal["sandbox", "live"], typer.Option("--environment", help="Whose key in credentials.json is taken.")
    ] = "sandbox",
    secret: Annotated[
        str | None,
        typer.Option("--secret", metavar="WHSEC", help="Sign with this; by default one that stays the same."),
    ] = None,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Show the events of a running Offhook as they happen, and forward them to a program on this machine.

    They go in the order of the log, once each; while nobody is there, one is tried again for half a minute.
    The signing secret is shown at the start.
    """
    from offhook.cli.listen import Wanted, listen
    from offhook.cli.server import way_to

    way = way_to(_settled(data_dir=data_dir), url, api_key, environment)
    listen(way, Wanted([glob.strip() for glob in events.split(",")], forward_to, secret, as_json))


@app.command()
def trigger(
    event_type: Annotated[str, typer.Argument(metavar="EVENT_TYPE", help="Such as call.ended.")] = "",
    count: Annotated[int, typer.Option("--count", metavar="N", help="That many, one after the other.", min=1)] = 1,
    list_types: Annotated[bool, typer.Option("--list", help="Tell every event type, and make none.")] = False,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Have a running Offhook tell an event that never happened, in its sandbox: to each webhook that listens.

    The event is about nobody and marked as a test; nothing else comes of it.
    """
    from offhook.cli import trigger
    from offhook.cli.server import way_to

    if not (event_type or list_types):
        raise typer.BadParameter("Name an event type, or take --list, which tells them.", param_hint="EVENT_TYPE")
    way = way_to(_settled(data_dir=data_dir), url, api_key, "sandbox")
    if list_types:
        trigger.list_types(way, as_json=as_json)
    else:
        trigger.trigger(way, event_type, count, as_json=as_json)


@app.command(**_PASSED_ON)
def demo(context: typer.Context) -> None:
    """The whole story on the sandbox: ten thousand leads, five humans, and a receiver that goes down."""
    from offhook.demo.cli import demo

    page = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    page.command()(demo)
    page(context.args, prog_name="offhook demo")


@app.command(**_PASSED_ON)
def bench(context: typer.Context) -> None:
    """Measure this machine: deliveries, latency, what neighbours cost each other."""
    from offhook.bench.cli import app

    app(context.args, prog_name="offhook bench")


def _settled(**given: object) -> "Settings":
    """The settings that file, environment and these options make; the log is set up by them."""
    from offhook import log, settings

    loaded = settings.load(given)
    log.configure(loaded.log_level, loaded.log_format)
    return loaded
