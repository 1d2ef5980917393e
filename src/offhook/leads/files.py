"""Reading a file of leads, before anything of it is stored. Pure.

A CSV file has a head; of NDJSON each line is a lead of its own, bare as `POST /v1/leads` takes it, or of any shape when
a mapping tells where things stand. The mapping says for each field of a lead which column or which place in the line
holds it, or a constant: `{"contact.phone": "phone", "contact.email": "emails.0", "consent.tier": {"constant":
"written"}}`. Fields under `consent.` make one consent to voice calls.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from offhook.errors import Fault, Invalid
from offhook.http.wire import DEEPEST, spoiled

LINE_MOST = 2**20
"""Bytes of one line: several times what all the fields of a lead that have a limit may come to."""
_CONSENT_DEFAULTS = {"channel": "voice", "purpose": "marketing"}
_NEEDED = ("client_ref_id", "contact.phone")
_FREE = ("visitor.", "merge_fields.", "metadata.")
_FIELDS = {
    "client_ref_id", "campaign_id", "contact.first_name", "contact.last_name", "contact.phone", "contact.email",
    "contact.address.street", "contact.address.city", "contact.address.state", "contact.address.postal_code",
    "contact.address.country", "consent.channel", "consent.purpose", "consent.tier", "consent.artificial_voice",
    "consent.given_at", "consent.seller_id", "consent.evidence.url", "consent.evidence.text_sha256",
    "consent.evidence.ip", "consent.evidence.certificate",
}  # fmt: skip

FieldMapping = Mapping[str, str | dict[str, Any]]
"""For each field of a lead its column or its place in the line, or `{"constant": value}`."""


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a file: its number, and the body of a lead not yet validated, or the code of why there is none."""

    number: int
    body: dict[str, Any] | None
    fault: str | None = None


def read_csv(content: bytes, mapping: FieldMapping) -> list[Line]:
    """The leads that the file's rows describe; rows are counted from the one below the head.

    Raises Invalid, naming every place at once, when the file is not UTF-8, a mapped field does not exist, a column is
    missing or a row has another number of columns than the head.
    """
    rows = csv.reader(io.StringIO(_text(content), newline=""), strict=True)
    try:
        head = next(rows, [])
        _check_mapping(mapping, head)
        return [Line(number, _lead(_cells(head, row), mapping)) for number, row in _whole(rows, head)]
    except csv.Error as wrong:
        raise Invalid([Fault("file", "bad_csv", f"Line {rows.line_num}: {wrong}.")]) from None


def read_ndjson(content: bytes, mapping: FieldMapping | None) -> list[Line]:
    """The leads on the file's lines, empty lines passed over. A line that holds none says why and spoils no other.

    Raises Invalid when the file is not UTF-8, or names every fault of the mapping at once.
    """
    lines = _text(content).encode().split(b"\n")
    if mapping is not None:
        _check_mapping(mapping, None)
    return [_line(number, line, mapping) for number, line in enumerate(lines, start=1) if line.strip()]


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        line = content[: wrong.start].count(b"\n") + 1
        raise Invalid([Fault("file", "not_utf8", f"Line {line} is not UTF-8; save the file as UTF-8.")]) from None


def _line(number: int, line: bytes, mapping: FieldMapping | None) -> Line:
    if len(line) > LINE_MOST:
        return Line(number, None, "line_too_long")
    try:
        body = orjson.loads(line)
    except orjson.JSONDecodeError:
        return Line(number, None, "malformed_json")
    if not isinstance(body, dict):
        return Line(number, None, "not_an_object")
    # Only a line that could be spoiled is looked through: this is the dearest step of a large file.
    if (rb"\u0000" in line or line.count(b"{") + line.count(b"[") > DEEPEST) and (fault := spoiled(body)):
        return Line(number, None, fault)
    return Line(number, body if mapping is None else _lead(_places(body), mapping))


def _whole(rows: Iterator[list[str]], head: Sequence[str]) -> Iterable[tuple[int, list[str]]]:
    for number, row in enumerate(rows, start=1):
        if row and len(row) != len(head):
            raise Invalid([Fault("file", "bad_row", f"Row {number} has {len(row)} columns, the head has {len(head)}.")])
        if row:
            yield number, row


def _check_mapping(mapping: FieldMapping, head: Sequence[str] | None) -> None:
    faults = [
        Fault(f"mapping.{needed}", "missing", f"Say what holds {needed}.")
        for needed in _NEEDED
        if needed not in mapping
    ]
    for field, source in mapping.items():
        faults += _faults_of(field, source, mapping, head)
    if faults:
        raise Invalid(faults)


def _faults_of(
    field: str, source: str | dict[str, Any], mapping: FieldMapping, head: Sequence[str] | None
) -> Iterator[Fault]:
    param = f"mapping.{field}"
    steps = field.split(".")
    if field not in _FIELDS and not (field.startswith(_FREE) and all(steps)):
        yield Fault(param, "unknown_field", f"A lead has no field {field}.")
    for above in (".".join(steps[:n]) for n in range(1, len(steps))):
        if above in mapping:
            yield Fault(param, "overlapping_fields", f"{field} stands within {above}, which is mapped too; map one.")
    if isinstance(source, str) and head is not None and source not in head:
        # The names that it does have are not told: of a file without a head they would be the first person's details.
        yield Fault(param, "no_such_column", f"The file's first row, its head, does not name the column {source}.")
    if isinstance(source, dict) and (set(source) != {"constant"} or isinstance(source["constant"], dict | list)):
        yield Fault(param, "wrong_type", 'Name a column or place, or give {"constant": value} with a plain value.')


def _cells(head: Sequence[str], row: Sequence[str]) -> Callable[[str], Any]:
    return dict(zip(head, row, strict=True)).__getitem__


def _places(body: dict[str, Any]) -> Callable[[str], Any]:
    """What stands at `person.phones.0`; None where nothing does."""

    def at(path: str) -> Any:
        value: Any = body
        for step in path.split("."):
            match value:
                case dict():
                    value = value.get(step)
                case list() if step.isascii() and step.isdigit() and len(step) < 10 and int(step) < len(value):
                    value = value[int(step)]
                case _:
                    return None
        return value

    return at


def _lead(at: Callable[[str], Any], mapping: FieldMapping) -> dict[str, Any]:
    lead: dict[str, Any] = {}
    for field, source in mapping.items():
        value = at(source) if isinstance(source, str) else source["constant"]
        value = value.strip() if isinstance(value, str) else value
        if value is not None and (value != "" or field in _NEEDED):
            _put(lead, field.split("."), value)
    # A row that does not say when consent was given tells of none, whatever the constants say.
    consent = lead.pop("consent", {})
    return {**lead, "consent": [{**_CONSENT_DEFAULTS, **consent}]} if "given_at" in consent else lead


def _put(into: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for step in path[:-1]:
        into = into.setdefault(step, {})
    into[path[-1]] = value
