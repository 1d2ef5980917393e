"""Measurements as a table, as one JSON object, and as the section of the documentation."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from offhook.bench.measure import Figures

_COLUMNS = (
    "load", "processes", "leads/s", "deliveries/s", "response p50 / p99 ms", "commit to wire p50 / p99 ms",
    "round trips", "transactions", "CPU µs py + pg", "RSS idle / loaded MB",
)  # fmt: skip


def as_object(machine: dict[str, Any], runs: Sequence[Figures]) -> dict[str, Any]:
    """One object: the best sustained rates, what they cost, commit-to-wire at the fixed rate where it was run; and all runs."""
    fullest = max(runs, key=lambda run: run.deliveries_per_s)
    at_rate = next((run for run in runs if run.name == "pipeline-fixed"), fullest)
    return {
        "machine": machine,
        "deliveries_per_s": fullest.deliveries_per_s,
        "leads_per_s": max(run.leads_per_s for run in runs),
        "commit_to_wire_ms": dict(at_rate.commit_to_wire_ms),
        "sql_round_trips_per_event": fullest.sql_round_trips_per_event,
        "cpu_us_per_event": dict(fullest.cpu_us_per_event),
        "rss_mb": dict(fullest.rss_mb),
        "runs": [run.shown() for run in runs],
    }


def show(console: Console, machine: dict[str, Any], runs: Sequence[Figures]) -> None:
    """Print the table."""
    console.print(_machine_line(machine))
    table = Table(*_COLUMNS)
    for run in runs:
        table.add_row(*_cells(run))
    console.print(table)


def markdown(machine: dict[str, Any], runs: Sequence[Figures]) -> str:
    """The section for docs/benchmarks.md."""
    head = [f"| {' | '.join(_COLUMNS)} |", f"|{'---|' * len(_COLUMNS)}"]
    rows = [f"| {' | '.join(_cells(run))} |" for run in runs]
    return "\n".join([_machine_line(machine), "", *head, *rows, "", _NOTES])


def _cells(run: Figures) -> list[str]:
    response, wire, cpu, rss = run.response_ms, run.commit_to_wire_ms, run.cpu_us_per_event, run.rss_mb
    return [
        run.name,
        run.topology,
        f"{run.leads_per_s:,.0f}",
        f"{run.deliveries_per_s:,.0f}",
        f"{response['p50']:.1f} / {response['p99']:.1f}",
        f"≤ {wire['p50']:g} / ≤ {wire['p99']:g}",
        f"{run.sql_round_trips_per_event:.2f}",
        f"{run.sql_transactions_per_event:.2f}",
        f"{cpu['python']:.0f} + {cpu['postgres']:.0f}",
        f"{rss['idle']:.0f} / {rss['loaded']:.0f}",
    ]


def _machine_line(machine: dict[str, Any]) -> str:
    postgres = machine["postgres"]
    durable = ", ".join(f"{name} = {postgres[name]}" for name in ("fsync", "synchronous_commit", "full_page_writes"))
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']:g} GiB, {machine['system']},"
        f" Python {machine['python']}, PostgreSQL {postgres['server_version']} ({durable})."
    )


_NOTES = """\
Load generator, receiver, server and PostgreSQL share the machine. Every lead makes three events, and one endpoint hears
them all; in `ingest-single-once` it hears `lead.accepted` only, one delivery a lead. Two seconds of the same load go before
each, then the sandbox is emptied, vacuumed and checkpointed, and half a second of it has its statements planned. A
delivery counts once its try is recorded. Row-level security, sealing, sequences and signatures are on; the log is at
`warning`, without a line per request.
Commit-to-wire is the server's own histogram (`/metrics`), so a quantile is the upper edge of its bucket; over two
processes it counts from the claim of the delivery. Round trips are the voluntary waits of PostgreSQL's backends: waits
for a lock or the disk are in it, so it is an upper bound. CPU is that of our server processes and of all of PostgreSQL's,
per event; load generator and receiver are not in it."""
