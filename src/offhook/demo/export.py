"""The CRM export that the demo imports: which columns it has, and where each person's number may ring."""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offhook.errors import CannotStart

MAPPING: dict[str, Any] = {
    "client_ref_id": "client_ref_id",
    "contact.first_name": "first_name",
    "contact.last_name": "last_name",
    "contact.phone": "phone",
    "contact.email": "email",
    "contact.address.city": "city",
    "contact.address.state": "state",
    "contact.address.postal_code": "postal_code",
    "merge_fields.product": "product",
    "visitor.utm_source": "utm_source",
    "visitor.utm_campaign": "utm_campaign",
    "visitor.gclid": "gclid",
    "visitor.landing_page": "landing_page",
    "consent.tier": {"constant": "written"},
    "consent.given_at": "consent_at",
    "consent.evidence.ip": "consent_ip",
    "consent.artificial_voice": "consent_artificial_voice",
}
_COLUMNS = {source for source in MAPPING.values() if isinstance(source, str)}


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a reference stands for, as far as the ledger must know: ten digits and a state."""

    number: str
    state: str


@dataclass(frozen=True, slots=True)
class Export:
    """A file, cut to the rows that were asked for. `whole` is True for all of the example."""

    name: str
    content: bytes
    rows: int
    people: dict[str, Person]
    whole: bool


def example() -> Path:
    """The example that comes with the project's sources. Raises CannotStart where they are not at hand."""
    for top in Path(__file__).resolve().parents[2:4]:
        if (found := top / "examples" / "leads-10k.csv").exists():
            return found
    raise CannotStart("no_example", "examples/leads-10k.csv is not here; name a CSV file with --leads.")


def read(path: Path | None, count: int | None) -> Export:
    """The first `count` rows of the file (None: all). Raises CannotStart when it lacks a column."""
    source = path or example()
    try:
        text = source.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise CannotStart("no_leads", f"{source} cannot be read as a CSV file in UTF-8.") from None
    reader = csv.DictReader(io.StringIO(text, newline=""))
    head = reader.fieldnames or []
    if missing := sorted(_COLUMNS - set(head)):
        raise CannotStart("bad_leads", f"{source} lacks {', '.join(missing)}; examples/README.md lists the columns.")
    rows = [row for row in reader][:count]
    people: dict[str, Person] = {}
    for row in rows:
        people.setdefault(row["client_ref_id"], _person(row))
    return Export(source.name, _written(head, rows), len(rows), people, path is None and count is None)


def _person(row: dict[str, str]) -> Person:
    return Person(re.sub(r"\D", "", row["phone"])[-10:], row["state"].strip().upper())


def _written(head: Any, rows: list[dict[str, str]]) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, head)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()
