"""The common cause table: what a SIP or Q.850 code means, as data in `causes.csv`."""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from offhook.providers.contract import Cause


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a cause says about the dial: the kind of report it makes, the word for it, and whether to dial again."""

    kind: Literal["busy", "no_answer", "error", "ended"]
    reason: str
    retry: Literal["yes", "no", "policy", "backoff", ""]


def meaning(cause: Cause) -> Meaning | None:
    """What the table says; None for a code it does not hold.

    The SIP code is asked first: a mis-configured trunk's 403 and a person's 603 both become Q.850 21.
    """
    table = _table()
    if cause.sip is not None and (found := table.get(("sip", cause.sip))):
        return found
    return table.get(("q850", cause.q850)) if cause.q850 is not None else None


@cache
def _table() -> dict[tuple[str, int], Meaning]:
    text = files(__package__).joinpath("causes.csv").read_text(encoding="utf-8")
    return {
        (row["system"], int(row["code"])): Meaning(row["kind"], row["reason"], row["retry"])  # type: ignore[arg-type]
        for row in csv.DictReader(text.splitlines())
    }
