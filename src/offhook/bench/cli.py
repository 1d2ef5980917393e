"""`offhook bench`: which loads are run on which processes, and how it is told."""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Protocol

import typer
from rich.console import Console

from offhook.bench import hardship, machine, people, report, store
from offhook.bench.measure import Figures, Load, measure
from offhook.bench.stage import Stage, Topology, built
from offhook.demo import run

app = typer.Typer(
    help="Measure this machine: real server processes, a local receiver, everything durable.",
    no_args_is_help=True,
    add_completion=False,
)

Seconds = Annotated[float, typer.Option("--seconds", metavar="S", min=1, help="How long each load lasts at most.")]
Processes = Annotated[str, typer.Option("--topology", metavar="up|split", help="One process, or api and worker.")]
Json = Annotated[bool, typer.Option("--json", help="Tell it to machines, as one object.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print the section for docs/benchmarks.md.")]

EVENTS_PER_LEAD = 3


class Shown(Protocol):
    """A measurement that can be told."""

    def shown(self) -> dict[str, Any]:
        """As one JSON object."""


FIXED_EVENTS_PER_S = 1000


@app.command()
def ingest(
    seconds: Seconds = 8, topology: Processes = "up", as_json: Json = False, as_markdown: Markdown = False
) -> None:
    """Leads by single requests, and by batches of 500."""
    _run(_ingest(seconds), [topology], as_json, as_markdown)


@app.command()
def pipeline(
    seconds: Seconds = 8, topology: Processes = "up", as_json: Json = False, as_markdown: Markdown = False
) -> None:
    """From the lead to its recorded deliveries: at full speed, and at 1,000 events a second."""
    _run(_pipeline(seconds), [topology], as_json, as_markdown)


@app.command()
def births(
    seconds: Seconds = 8, topology: Processes = "up", as_json: Json = False, as_markdown: Markdown = False
) -> None:
    """From the event to its recorded deliveries: to one endpoint and to three, at full speed; and at 1,000 events a second."""
    _run(_births(seconds), [topology], as_json, as_markdown)


@app.command()
def neighbours(
    seconds: Seconds = 20,
    topology: Processes = "up",
    rows: Annotated[
        int, typer.Option("--rows", min=100, help="How many deliveries wait for the dead one.")
    ] = 1_000_000,
) -> None:
    """What one dead, one hanging and one dripping endpoint cost the others."""
    _tell(topology, lambda stage: hardship.neighbours(stage, rows, seconds))


@app.command()
def backlog(
    topology: Processes = "up",
    rows: Annotated[int, typer.Option("--rows", min=1000, help="How large the backlog is.")] = 1_000_000,
    many: Annotated[
        int, typer.Option("--many", min=10_000, help="Over how many rows the claim is timed.")
    ] = 10_000_000,
) -> None:
    """What a backlog costs the fresh deliveries while it drains; and what a claim costs over very many rows."""
    _tell(topology, lambda stage: hardship.backlog(stage, rows))
    _tell(topology, lambda stage: hardship.claims(stage, 10_000, many))


@app.command("all")
def all_(seconds: Seconds = 8, as_json: Json = False, as_markdown: Markdown = False) -> None:
    """Everything, on one process and on two."""
    _run([*_ingest(seconds), *_pipeline(seconds), *_births(seconds)], ["up", "split"], as_json, as_markdown)


def _tell(topology: str, act: Callable[[Stage], Awaitable[Shown]]) -> None:
    async def measured() -> Shown:
        async with built(_topology(topology)) as stage:
            return await act(stage)

    typer.echo(json.dumps(run(measured()).shown(), indent=2))


def _topology(name: str) -> Topology:
    if name not in ("up", "split"):
        raise typer.BadParameter("up or split", param_hint="--topology")
    return "up" if name == "up" else "split"


def _ingest(seconds: float) -> list[Load]:
    most = people.how_many()
    return [
        Load("ingest-single", batch=1, connections=64, seconds=seconds, most=most),
        Load("ingest-single-once", batch=1, connections=64, seconds=seconds, most=most, hears=["lead.accepted"]),
        Load("ingest-batch", batch=500, connections=4, seconds=seconds, most=most),
    ]


def _pipeline(seconds: float) -> list[Load]:
    most = people.how_many()
    rate = FIXED_EVENTS_PER_S // EVENTS_PER_LEAD
    return [
        Load("pipeline-full", batch=100, connections=4, seconds=seconds, most=most),
        Load("pipeline-fixed", batch=1, connections=32, rate=rate, seconds=seconds, most=most),
    ]


def _births(seconds: float) -> list[Load]:
    return [
        Load("births-fixed", rate=FIXED_EVENTS_PER_S, seconds=seconds, born=True),
        Load("births-full", seconds=seconds, born=True),
        Load("births-full-3", seconds=seconds, born=True, fan_out=3),
    ]


def _run(loads: Sequence[Load], topologies: Sequence[str], as_json: bool, as_markdown: bool) -> None:
    console = Console(highlight=False, width=200)
    described: dict[str, Any] = {}
    runs: list[Figures] = []
    for topology in topologies:
        for born in (False, True):
            if together := [load for load in loads if load.born is born]:
                described, found = run(_measured(together, _topology(topology), births=born))
                runs += found
    if as_json:
        typer.echo(json.dumps(report.as_object(described, runs), indent=2))
    elif as_markdown:
        typer.echo(report.markdown(described, runs))
    else:
        report.show(console, described, runs)


async def _measured(loads: Sequence[Load], topology: Topology, *, births: bool) -> tuple[dict[str, Any], list[Figures]]:
    async with built(topology, births=births) as stage:
        runs = [await measure(stage, load) for load in loads]
        return machine.described(await store.settings(stage.database)), runs
