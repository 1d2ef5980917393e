"""What commands print: laid out on a terminal, plain lines in a pipe, JSON for machines."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

_OUT = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)


def say(line: str, *, bold: bool = False) -> None:
    """One line."""
    _OUT.print(line, style="bold" if bold else None)


def table(rows: Mapping[str, str]) -> None:
    """Names and values, the values below each other; in a pipe, `name: value`."""
    width = max(map(len, rows)) + 2
    for name, value in rows.items():
        if _OUT.is_terminal:
            _OUT.print(Text.assemble("  ", (name.ljust(width), "dim"), value))
        else:
            _OUT.print(f"{name}: {value}")


def grade(word: str, name: str, text: str) -> None:
    """A line that begins with ok, warn or fail."""
    colours = {"ok": "green", "warn": "yellow", "fail": "bold red"}
    _OUT.print(Text.assemble((word.ljust(5), colours[word]), (name.ljust(14), "bold"), text))


def columns(*parts: tuple[str, str]) -> None:
    """One line of texts, each in its style, two blanks between them."""
    _OUT.print(Text("  ").join(Text(text, style) for text, style in parts))


def machine_line(value: Mapping[str, Any]) -> None:
    """The value as JSON in one line: one of many."""
    _OUT.print(json.dumps(value, separators=(",", ":")))


def machine(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """The value as JSON."""
    _OUT.print(json.dumps(value, indent=2))
