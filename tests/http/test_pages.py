from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import Invalid
from offhook.http import Page
from offhook.http.pages import cursor, listed

instants = st.datetimes(timezones=st.just(UTC))


@given(st.integers(-(2**63), 2**63 - 1), st.text().filter(lambda t: "\0" not in t), instants, st.uuids())
def test_a_cursor_leads_back_to_its_key(number: int, text: str, at: datetime, id: UUID) -> None:
    page = Page(after=cursor((number, text, at, id)))

    assert page.start(int, str, datetime, UUID) == (number, text, at, id)


@given(st.text(max_size=60))
def test_whatever_is_sent_as_a_cursor_is_a_key_or_a_refusal(text: str) -> None:
    refused = None
    try:
        start = Page(after=text).start(int, UUID)
    except Invalid as refusal:
        refused, start = refusal.code, (0, UUID(int=0))

    assert refused in (None, "bad_cursor")
    assert start is not None
    assert [type(part) for part in start] == [int, UUID]


@given(st.lists(st.integers(-999, 999), max_size=20, unique=True), st.integers(1, 10))
def test_pages_show_every_item_once_and_in_order(items: list[int], limit: int) -> None:
    items.sort()
    seen: list[int] = []
    after: str | None = None
    while True:
        page = Page(limit, after)
        start = page.start(int)
        answer = listed([i for i in items if start is None or i > start[0]][: page.most], page, lambda i: (i,))
        seen += answer["data"]
        after = answer["next_cursor"]
        if not answer["has_more"]:
            break

    assert seen == items


async def test_pages_stay_true_while_others_write(api: Any) -> None:
    ids = [(await api.post("/v1/things", {"name": f"{n}"})).json["id"] for n in range(5)]

    first = (await api.get("/v1/things?limit=2")).json
    await api.delete(f"/v1/things/{ids[0]}")
    await api.post("/v1/things", {"name": "late"})
    second = (await api.get(f"/v1/things?limit=10&after={first['next_cursor']}")).json

    assert [thing["name"] for thing in first["data"] + second["data"]] == ["0", "1", "2", "3", "4", "late"]
    assert (first["has_more"], second["has_more"], second["next_cursor"]) == (True, False, None)


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "after=%21", "after=bm90IGpzb24"])
async def test_a_limit_or_cursor_that_makes_no_sense_is_refused(api: Any, query: str) -> None:
    reply = await api.get(f"/v1/things?{query}")

    assert reply.status == 422
    assert reply.json["param"] in ("limit", "after")
