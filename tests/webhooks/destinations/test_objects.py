"""What an object of a warehouse is called and holds, whatever the events look like."""

from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet
from tests.webhooks.destinations.stages import Stage

from offhook import ids
from offhook.webhooks.destinations.conformance import a_consignment
from offhook.webhooks.destinations.contract import Consignment
from offhook.webhooks.destinations.http import Http
from offhook.webhooks.destinations.objects import COLUMNS, Form, content_of, name_of, row_of
from offhook.webhooks.rendering import USUAL_HEADERS, Format, Rendered, Rendering

FORMS = [Form(), Form(gzip=True), Form("parquet")]
SENT = a_consignment(Stage(Http(None), "https://receiver.example"), 3)  # type: ignore[arg-type]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def saying(sent: Consignment, bodies: list[bytes]) -> Consignment:
    items = [
        replace(item, rendered=Rendered(USUAL_HEADERS, body)) for item, body in zip(sent.items, bodies, strict=True)
    ]
    return replace(sent, items=items)


def table_of(sent: Consignment) -> Any:
    return parquet.read_table(BytesIO(content_of(sent, Form("parquet"))))


@given(st.dictionaries(st.sampled_from([*COLUMNS, "subject", "data", "specversion"]), JSON))
def test_the_columns_are_the_same_whatever_the_event_says(told: dict[str, Any]) -> None:
    body = orjson.dumps(told)

    usual, odd = table_of(SENT), table_of(saying(SENT, [body] * 3))

    assert odd.schema == usual.schema
    assert odd.column_names == list(COLUMNS)
    assert odd.column("event").to_pylist() == [body.decode()] * 3


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.ending)
def test_the_bytes_are_the_same_on_every_try(form: Form) -> None:
    assert content_of(replace(SENT, n=3), form) == content_of(SENT, form)


@given(st.lists(st.integers(1_700_000_000_000, 3_000_000_000_000), min_size=3, max_size=3))
def test_the_hour_is_that_of_the_earliest_event(moments_ms: list[int]) -> None:
    def made_at(id: UUID, moment_ms: int) -> UUID:
        return UUID(int=moment_ms << 80 | id.int & ((1 << 80) - 1))

    items = [replace(item, event=made_at(item.event, at)) for item, at in zip(SENT.items, moments_ms, strict=True)]
    first = datetime.fromtimestamp(min(moments_ms) / 1000, UTC)

    name = name_of(replace(SENT, items=items), Form())

    assert name == f"date={first:%Y-%m-%d}/hour={first:%H}/{SENT.webhook_id}.ndjson"


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.ending)
def test_an_event_has_one_object_per_endpoint_whatever_the_try(form: Form) -> None:
    (item, *_) = SENT.items
    single = replace(SENT, webhook_id=item.event_id, items=[item])
    of_another_endpoint = replace(single, items=[replace(item, delivery=uuid4())])

    assert name_of(replace(single, n=7), form) == name_of(single, form)
    assert name_of(single, form).endswith(f"/{ids.show('dlv', item.delivery)}{form.ending}")
    assert name_of(of_another_endpoint, form) != name_of(single, form)


@pytest.mark.parametrize("format", ["envelope", "cloudevents_structured", "cloudevents_binary", "thin"])
def test_the_columns_are_filled_from_every_rendering(format: Format) -> None:
    (item, *_) = SENT.items
    envelope = orjson.loads(item.rendered.body)
    rendered = Rendering(format).render(item.rendered.body, {}, lambda value: value)

    row = row_of(replace(item, rendered=rendered))

    assert row["event_id"] == item.event_id
    assert (row["type"], row["workspace_id"], row["sequence"]) == ("lead.cadence_paused", envelope["workspace_id"], 1)
    assert (row["subject_type"], row["subject_id"]) == ("lead", envelope["subject"]["id"])
    assert row["occurred_at"] == datetime(2026, 11, 22, tzinfo=UTC)
