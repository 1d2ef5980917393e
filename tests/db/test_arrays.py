"""Lists reach PostgreSQL as they are, whatever writes them."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from offhook.db.arrays import adapters

_ZONES = (UTC, timezone(timedelta(hours=-5)))
_SINCE = st.timedeltas(timedelta(days=-700_000), timedelta(days=2_900_000))
_INSTANTS = st.builds(
    lambda zone, since: (datetime(2000, 1, 1, tzinfo=UTC) + since).astimezone(zone), st.sampled_from(_ZONES), _SINCE
)
_TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
_KINDS: dict[LiteralString, st.SearchStrategy[Any]] = {
    "select %(values)b::uuid[]": st.uuids(),
    "select %(values)b::text[]": _TEXTS,
    "select %(values)b::bytea[]": st.binary(),
    "select %(values)b::int[]": st.integers(-(2**31), 2**31 - 1),
    "select %(values)b::bigint[]": st.integers(-(2**63), 2**63 - 1),
    "select %(values)b::float8[]": st.floats(allow_nan=False),
    "select %(values)b::bool[]": st.booleans(),
    "select %(values)b::timestamptz[]": _INSTANTS,
    "select %(values)b::interval[]": st.timedeltas(timedelta(days=-1000), timedelta(days=1000)),
}
_DOCUMENTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def connection(database_url: str) -> Any:
    with psycopg.connect(database_url, autocommit=True, context=adapters(), options="-c timezone=UTC") as connection:
        yield connection


@pytest.mark.parametrize("query", _KINDS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(data=st.data())
def test_a_list_comes_back_as_it_was_sent(
    connection: psycopg.Connection, query: LiteralString, data: st.DataObject
) -> None:
    values: Sequence[Any] = data.draw(st.lists(st.none() | _KINDS[query], max_size=6))
    row = connection.execute(query, {"values": values}, binary=True).fetchone()
    assert row == (values,)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(documents=st.lists(st.none() | _DOCUMENTS.map(Jsonb), min_size=1, max_size=4))
def test_documents_in_a_list_are_stored_as_the_driver_itself_would(
    connection: psycopg.Connection, documents: list[Jsonb | None]
) -> None:
    theirs = [None if one is None else json.dumps(one.obj) for one in documents]
    row = connection.execute(
        "select %(ours)b::jsonb[] is not distinct from %(theirs)b::text[]::jsonb[]",
        {"ours": documents, "theirs": theirs},
    ).fetchone()
    assert row == (True,)


def test_integers_of_every_size_are_one_prepared_statement(connection: psycopg.Connection) -> None:
    for value in (1, 40_000, 3_000_000_000):
        connection.execute("select sum(n) from unnest(%(ns)b::bigint[]) n", {"ns": [value]}, prepare=True)
    (prepared,) = connection.execute(
        "select count(*) from pg_prepared_statements where statement like '%sum(n)%' and not statement like '%prepared%'"
    ).fetchone() or (0,)
    assert prepared == 1


def test_a_list_of_two_types_is_refused(connection: psycopg.Connection) -> None:
    with pytest.raises(Exception, match="int|argument"):
        connection.execute("select %(values)b::int[]", {"values": [1, UUID(int=1)]})
