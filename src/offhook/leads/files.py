"""Reading a file of leads, before anything of it is stored. Pure.

The mapping says for each field of a lead which column holds it, or a constant: `{"contact.phone": "phone",
"consent.tier": {"constant": "written"}}`. Fields under `consent.` make one consent to voice calls.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from offhook.errors import Fault, Invalid

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

Mapping_ = Mapping[str, str | dict[str, Any]]


def read_csv(content: bytes, mapping: Mapping_) -> list[dict[str, Any]]:
    """The leads that the file's rows describe, as bodies not yet validated.

    Raises Invalid, naming every place at once, when the file is not UTF-8, a mapped field does not exist, a column is
    missing or a row has another number of columns than the head.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        line = content[: wrong.start].count(b"\n") + 1
        raise Invalid([Fault("file", "not_utf8", f"Line {line} is not UTF-8; save the file as UTF-8.")]) from None
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        head = next(rows, [])
        _check_mapping(mapping, head)
        return [_lead(dict(zip(head, row, strict=True)), mapping) for row in _whole(rows, head)]
    except csv.Error as wrong:
        raise Invalid([Fault("file", "bad_csv", f"Line {rows.line_num}: {wrong}.")]) from None


def _whole(rows: Iterator[list[str]], head: Sequence[str]) -> Iterable[list[str]]:
    for number, row in enumerate(rows, start=1):
        if row and len(row) != len(head):
            raise Invalid([Fault("file", "bad_row", f"Row {number} has {len(row)} columns, the head has {len(head)}.")])
        if row:
            yield row


def _check_mapping(mapping: Mapping_, head: Sequence[str]) -> None:
    faults = []
    for needed in _NEEDED:
        if needed not in mapping:
            faults.append(Fault(f"mapping.{needed}", "missing", f"Say which column holds {needed}."))
    for field, source in mapping.items():
        if field not in _FIELDS and not field.startswith(_FREE):
            faults.append(Fault(f"mapping.{field}", "unknown_field", f"A lead has no field {field}."))
        if isinstance(source, str) and source not in head:
            faults.append(
                Fault(
                    f"mapping.{field}", "no_such_column", f"The file has no column {source}; it has: {', '.join(head)}."
                )
            )
        if isinstance(source, dict) and set(source) != {"constant"}:
            faults.append(Fault(f"mapping.{field}", "wrong_type", 'Give a column\'s name or {"constant": value}.'))
    if faults:
        raise Invalid(faults)


def _lead(row: dict[str, str], mapping: Mapping_) -> dict[str, Any]:
    lead: dict[str, Any] = {}
    for field, source in mapping.items():
        value = row[source].strip() if isinstance(source, str) else source["constant"]
        if value != "" or field in _NEEDED:
            _put(lead, field.split("."), value)
    # A row that does not say when consent was given tells of none, whatever the constants say.
    consent = lead.pop("consent", {})
    return {**lead, "consent": [{**_CONSENT_DEFAULTS, **consent}]} if "given_at" in consent else lead


def _put(into: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for step in path[:-1]:
        into = into.setdefault(step, {})
    into[path[-1]] = value
