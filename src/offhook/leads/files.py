"""Reading a file of leads line by line, before anything of it is stored: no more of it is in memory than a row.

A CSV file has a head; of NDJSON each line is a lead of its own, bare as `POST /v1/leads` takes it, or of any shape when
a mapping tells where things stand. The mapping says for each field of a lead which column or which place in the line
holds it, or a constant: `{"contact.phone": "phone", "contact.email": "emails.0", "consent.tier": {"constant":
"written"}}`. Fields under `consent.` make one consent to voice calls.
"""

import codecs
import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import orjson

from offhook.errors import Fault, Invalid
from offhook.http.wire import DEEPEST, spoiled

LINE_MOST = 2**20
"""Bytes of one line, characters of one row: several times what all the fields of a lead that have a limit may come to."""
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


def read_csv(file: BinaryIO, mapping: FieldMapping) -> Iterator[Line]:
    """The leads that the file's rows describe; rows are counted from the one below the head.

    Raises Invalid where it comes upon it: a file that is not UTF-8, a row too long or with another number of columns
    than the head; first of all, and naming every place at once, a mapped field that does not exist or a missing column.
    """
    text = _Text(file)
    rows = csv.reader(text, strict=True)
    try:
        head = next(rows, [])
        _check_mapping(mapping, head)
        for number, row in _whole(rows, head):
            text.of_row = 0
            yield Line(number, _lead(_cells(head, row), mapping))
    except csv.Error as wrong:
        raise Invalid([Fault("file", "bad_csv", f"Line {rows.line_num}: {wrong}.")]) from None
    except UnicodeDecodeError:
        raise _not_utf8(_first_not_utf8(file)) from None
    finally:
        text.leave()


def read_ndjson(file: BinaryIO, mapping: FieldMapping | None) -> Iterator[Line]:
    """The leads on the file's lines, empty lines passed over. A line that holds none says why and spoils no other.

    Raises Invalid where it comes upon a line that is not UTF-8; first of all it names every fault of the mapping.
    """
    if mapping is not None:
        _check_mapping(mapping, None)
    for number, line in enumerate(_lines(file), start=1):
        if line is None:
            yield Line(number, None, "line_too_long")
        elif line.strip():
            yield _line(number, line, mapping)


class _Text:
    """A file's text, line by line, of which no row may have more than LINE_MOST characters."""

    def __init__(self, file: BinaryIO) -> None:
        self._text = io.TextIOWrapper(file, "utf-8-sig", newline="")
        self._line = 0
        self.of_row = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._text.readline(LINE_MOST + 1)
        if not line:
            raise StopIteration
        self._line += 1
        self.of_row += len(line)
        if self.of_row > LINE_MOST:
            detail = f"The row that line {self._line} belongs to is too long to be a lead; is a quotation mark missing?"
            raise Invalid([Fault("file", "line_too_long", detail)])
        return line

    def leave(self) -> None:
        """The file outlives its text."""
        self._text.detach()


def _lines(file: BinaryIO) -> Iterator[bytes | None]:
    """The file's lines without their ends; None for one that is too long to be held."""
    file.seek(len(codecs.BOM_UTF8) if file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8 else 0)
    while line := file.readline(LINE_MOST + 1):
        if line.endswith(b"\n") or len(line) <= LINE_MOST:
            yield line.removesuffix(b"\n")
        else:
            while line and not line.endswith(b"\n"):
                line = file.readline(LINE_MOST)
            yield None


def _first_not_utf8(file: BinaryIO) -> int:
    """The number of the first line that is not UTF-8, of a file that has one."""
    decoder, number = codecs.getincrementaldecoder("utf-8")(), 1
    file.seek(0)
    try:
        while piece := file.read(2**16):
            number += decoder.decode(piece).count("\n")
    except UnicodeDecodeError as wrong:
        number += wrong.object[: wrong.start].count(b"\n")
    return number


def _not_utf8(number: int) -> Invalid:
    return Invalid([Fault("file", "not_utf8", f"Line {number} is not UTF-8; save the file as UTF-8.")])


def _line(number: int, line: bytes, mapping: FieldMapping | None) -> Line:
    try:
        body = orjson.loads(line)
    except orjson.JSONDecodeError:
        try:
            line.decode()
        except UnicodeDecodeError:
            raise _not_utf8(number) from None
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
