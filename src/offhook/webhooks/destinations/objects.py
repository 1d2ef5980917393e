"""A consignment as one object of a warehouse: its name by time, and its bytes. Pure, and the same on every try.

    date=2026-11-22/hour=00/bat_….ndjson[.gz]       one event per line, as its endpoint is told of it
    date=2026-11-22/hour=00/dlv_….parquet           columns that never change, and the event as JSON text

The hour is that in which the earliest of the events was recorded, in UTC. A batch is called by its own id, a single event
by its delivery's, which no other endpoint shares: several may write into one place, each in its own format.
"""

import gzip
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from typing import Any, Literal
from urllib.parse import parse_qsl

import orjson

from offhook import ids
from offhook.webhooks.destinations.contract import Consignment, Item

_TEXTS = ("event_id", "type", "workspace_id", "environment", "subject_type", "subject_id", "kind", "correlation_id") + (
    "causation_id",
)
_INSTANTS = ("occurred_at", "recorded_at")
COLUMNS = (
    ("event_id", "type", "occurred_at", "recorded_at", "workspace_id", "environment", "subject_type", "subject_id")
    + ("sequence", "kind", "correlation_id", "causation_id", "test", "event")
)  # fmt: skip
"""Of a Parquet file, in this order, whatever the events look like."""


@dataclass(frozen=True, slots=True)
class Form:
    """How objects are written."""

    format: Literal["ndjson", "parquet"] = "ndjson"
    gzip: bool = False

    @property
    def ending(self) -> str:
        return f".{self.format}.gz" if self.gzip else f".{self.format}"

    @property
    def content_type(self) -> str:
        if self.gzip:
            return "application/gzip"
        return "application/x-ndjson" if self.format == "ndjson" else "application/vnd.apache.parquet"


class NotAForm(ValueError):
    """`str()` of it is a sentence that says what to write instead."""


def form_of(query: str, others: frozenset[str] = frozenset()) -> tuple[Form, Mapping[str, str]]:
    """The form that a URL's query asks for, and its `others`. Raises NotAForm."""
    told = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := told.keys() - others - {"format", "gzip"}:
        known = ", ".join(sorted({"format", "gzip"} | others))
        raise NotAForm(f"The URL has {len(unknown)} parameters that nobody knows; there are {known}.")
    form, zipped = told.get("format", "ndjson"), told.get("gzip", "false")
    if form not in ("ndjson", "parquet"):
        raise NotAForm("The format is ndjson or parquet.")
    if zipped not in ("true", "false") or (zipped == "true" and form == "parquet"):
        raise NotAForm("gzip is true or false, and goes with ndjson only: Parquet is compressed already.")
    if form == "parquet" and find_spec("pyarrow") is None:
        raise NotAForm("Parquet needs the extra offhook[files]; the operator installs it.")
    return Form("parquet" if form == "parquet" else "ndjson", zipped == "true"), {
        name: value for name, value in told.items() if name in others
    }


def name_of(consignment: Consignment, form: Form) -> str:
    """Where the object lies below its destination's own place: the same on every try and replay, at no two endpoints."""
    hour = min(item.recorded_at for item in consignment.items)
    own = consignment.webhook_id if consignment.is_batch else ids.show("dlv", consignment.items[0].delivery)
    return f"date={hour:%Y-%m-%d}/hour={hour:%H}/{own}{form.ending}"


def content_of(consignment: Consignment, form: Form) -> bytes:
    """The object's bytes."""
    if form.format == "parquet":
        return _parquet(consignment)
    lines = b"".join(item.rendered.body + b"\n" for item in consignment.items)
    return gzip.compress(lines, mtime=0) if form.gzip else lines


def row_of(item: Item) -> dict[str, Any]:
    """An event as a row of COLUMNS; None for what its rendering leaves out."""
    told = orjson.loads(item.rendered.body)
    if "specversion" in told and isinstance(told.get("data"), dict):  # a CloudEvent holds the envelope
        told = told["data"]
    subject = told.get("subject")
    subject = subject if isinstance(subject, dict) else {}
    flat = {**told, "event_id": item.event_id, "subject_type": subject.get("type"), "subject_id": subject.get("id")}
    row: dict[str, Any] = {name: _text(flat.get(name)) for name in _TEXTS}
    row |= {name: _instant(flat.get(name)) for name in _INSTANTS}
    row["sequence"] = _whole(flat.get("sequence"))
    row["test"] = flat.get("test") is True
    row["event"] = item.rendered.body.decode()
    return row


def _whole(value: object) -> int | None:
    """A number that the column holds; True is none, whatever Python says."""
    return value if isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63 else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _instant(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _parquet(consignment: Consignment) -> bytes:
    import pyarrow
    from pyarrow import parquet

    kinds = {name: pyarrow.timestamp("us", tz="UTC") for name in _INSTANTS}
    kinds |= {"sequence": pyarrow.int64(), "test": pyarrow.bool_()}
    needed = {"event_id", "test", "event"}
    schema = pyarrow.schema(
        [pyarrow.field(name, kinds.get(name, pyarrow.string()), nullable=name not in needed) for name in COLUMNS]
    )
    table = pyarrow.Table.from_pylist([row_of(item) for item in consignment.items], schema=schema)
    written = io.BytesIO()
    parquet.write_table(table, written, compression="zstd")
    return written.getvalue()
