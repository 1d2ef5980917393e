"""`python -m tests.kill --kills 60 --events 20000`: the long run, whose figures stand in docs/kill.md."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from .harness import VICTIMS, Outcome, Plan, run
from .hooks import FAILS_EVERY

REPORT = Path(__file__).parents[2] / "docs" / "kill.md"
_CONSOLE = Console(highlight=False, soft_wrap=True, markup=False)


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill everything at random, and count what was lost.")
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--pace", type=float, default=10.0, help="Leads per second.")
    chosen = parser.parse_args()
    plan = Plan(chosen.kills, chosen.events, chosen.pace, (0.2, 3.0), chosen.seed)
    with tempfile.TemporaryDirectory(prefix="offhook-kill-") as scratch:
        outcome = asyncio.run(run(plan, Path(scratch), _CONSOLE.print))
    REPORT.write_text(_report(plan, outcome), encoding="utf-8")
    _CONSOLE.print(_report(plan, outcome))
    return 0 if outcome.verdict.held else 1


def _report(plan: Plan, outcome: Outcome) -> str:
    verdict, kills = outcome.verdict, outcome.kills
    parts = ", ".join(f"{name} {kills[name]}" for name in VICTIMS)
    rows = {
        "SIGKILLs": f"{kills.total()} ({parts})",
        "Leads acknowledged to the client": f"{verdict.leads_acknowledged:,}",
        "Calls placed, by the platform's journal": f"{verdict.calls_placed:,}",
        "Events, by the receiver's journal": f"{verdict.events:,}",
        "Deliveries to six endpoints, by the same": f"{verdict.deliveries:,}",
        "Tellings that the receiver answered 500": f"{verdict.refused:,}",
        "**Leads lost**": f"{verdict.leads_lost}",
        "**Calls without exactly one start and one end**": f"{verdict.calls_lost}",
        "**Leads that became another, or two**": f"{verdict.leads_told_otherwise}",
        "**Sequence gaps, up to the end of the log**": f"{verdict.sequence_gaps}",
        "**Deliveries lost at any endpoint**": f"{verdict.untold}",
        "**Events out of order, not flagged, where order was asked for**": f"{verdict.out_of_order}",
        "**Messages told again with other bytes or under another id**": f"{verdict.told_otherwise}",
        "**Calls placed twice**": f"{verdict.placed_twice}",
        "Deliveries told again (same event)": f"{verdict.duplicates_told:,}",
        "Time": f"{outcome.took_s:.0f} s",
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return _TEXT.format(fails_every=FAILS_EVERY, kills=plan.kills, events=plan.events, seed=plan.seed, table=table)


_TEXT = """\
# Kill test

`make kill` runs `offhook api`, `offhook worker` and PostgreSQL as separate processes, kills one of them with SIGKILL at
random moments, starts it again, and lets everything come to rest. A part of the kills is aimed: the receiver writes
down what comes and holds its answers back until the worker is dead, so that requests were made and none recorded.

Then it counts from the journals of the others: the client's (a line per lead that was answered 2xx), the pretend
platform's (a line per call placed) and the receiver's (a line per event told). Each is a process of its own that puts a
line on the disk before it acts upon it. Where the log ends, and what each endpoint should have been told, the public API
says. Nothing is counted from Offhook's own tables.

The receiver is six endpoints: one hears everything; one is told in batches, one in order per subject, one at a bounded
rate; four answer 500 to every {fails_every}th request, and one of these is tried only once: what it refused lies among the dead
letters, which are replayed at the end.

Last run: `python -m tests.kill --kills {kills} --events {events} --seed {seed}`

| | |
|---|---:|
{table}

Deliveries told again are the honest price of *at least once*: what was on the wire when its sender died is sent again,
under its old `webhook-id` with the same bytes, and a receiver that keeps a table of the events processes each once.
"""


if __name__ == "__main__":
    sys.exit(main())
