"""The demo on a terminal: what happens, while it happens, and the ledger at the end."""

from collections.abc import Callable, Mapping
from zoneinfo import ZoneInfo

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from offhook.demo.ledger import Ledger
from offhook.demo.story import Glance

_NEW_YORK = ZoneInfo("America/New_York")


class Screen:
    """Shows glances live on a terminal; in a pipe, one line per change of phase. Use it as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=8, transient=True) if console.is_terminal else None
        self._phase = ""

    def __enter__(self) -> Callable[[Glance], None]:
        if self._live:
            self._live.start()
        return self._show

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def _show(self, glance: Glance) -> None:
        if self._live:
            self._live.update(_picture(glance))
        elif glance.phase != self._phase:
            self._console.print(glance.phase)
        self._phase = glance.phase


def tell(console: Console, ledger: Ledger) -> None:
    """Print the ledger, and each promise with its mark."""
    console.print(_grid(_lines(ledger)))
    console.print()
    for promise in ledger.promises:
        mark = Text("✓ ", "bold green") if promise.held else Text("✗ ", "bold red")
        console.print(Text.assemble(mark, f"{promise.text} ", (f"({promise.value})", "dim")))
    console.print()
    console.print("Every promise held." if ledger.held else "A promise was broken.", style="bold")


def _picture(glance: Glance) -> Panel:
    local = glance.now.astimezone(_NEW_YORK)
    lines = {
        "Rows imported": f"{glance.rows_done:,} of {glance.rows:,}",
        "Leads reached": f"{glance.reached:,}",
        "Attempts over": f"{glance.resolved:,}",
        "Attempts planned": f"{glance.planned:,}",
        "Calls out": f"{glance.calls_out:,}",
        "Live transfers": f"{glance.live_transfers:,}",
        "Events received": f"{glance.events:,}",
        "Receiver": "up" if glance.receiver_is_up else "down",
    }
    bar = ProgressBar(total=max(1, glance.rows), completed=glance.rows_done, width=40)
    title = f"offhook demo · {glance.phase} · {local:%a %d %b %H:%M} in New York"
    return Panel(Group(bar, _grid(lines)), title=title, expand=False)


def _grid(lines: Mapping[str, str]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column()
    for name, value in lines.items():
        grid.add_row(name, value)
    return grid


def _lines(ledger: Ledger) -> dict[str, str]:
    read = ledger.imported
    return {
        "Rows read": f"{ledger.rows:,}",
        "Accepted": f"{read['accepted']:,}",
        "Duplicates": f"{read['duplicates']:,} ({read['payload_differs']:,} with another payload)",
        "Rejected": f"{read['rejected']:,}",
        "Not a number": f"{read['invalid']:,}",
        "By code": _counted(read["codes"]),
        "Attempts": f"{ledger.attempts:,}",
        "Calls by outcome": _counted(ledger.calls_by_outcome),
        "Never reached": f"{sum(ledger.never_reached.values()):,}: {_counted(ledger.never_reached)}",
        "Peak live transfers": f"{ledger.peak_live_transfers:,}",
        "Dials outside legal hours": f"{ledger.dials_outside_legal_hours:,}",
        "Contacts after opt-out": f"{ledger.contacts_after_opt_out:,}",
        "Post-backs": _counted(ledger.post_backs),
        "Events": f"{ledger.events:,}",
        "Deliveries": f"{ledger.deliveries:,}, told twice {ledger.duplicates_told:,}",
        "Waiting after the outage": _up_to_1000(ledger.waiting_after_outage),
        "Dead letters": f"{ledger.dead_letters:,}",
        "Lost": f"{ledger.lost:,}",
        "Sequence gaps": f"{ledger.sequence_gaps:,}",
        "Time": f"{ledger.took_s:,.1f} s for {ledger.virtual_days:.1f} days (import {ledger.import_s:.1f} s)",
    }


def _up_to_1000(count: int) -> str:
    return f"{count:,}" if count < 1000 else "1,000 or more"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in sorted(counts.items(), key=lambda pair: -pair[1])) or "none"
