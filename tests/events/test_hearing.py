"""What a filtered listener should have got: every row is looked at once, and no request looks at many."""

from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import Client

from offhook import access, ids
from offhook.app import build_app
from offhook.db import Database, Tenant, Tx, Wakeups
from offhook.events import Fact, Log, Story, http, sample_of
from offhook.events.catalogue.leads import LeadCadencePaused
from offhook.events.hearing import Hearing, look
from offhook.events.stream import Streams
from offhook.http import Door
from offhook.http.resources import Ref
from offhook.privacy import Vault
from offhook.settings import load

PATH = f"/v1/events?webhook_endpoint={ids.show('whe', ids.new())}"


class Asking:
    """The filter of an endpoint, which a test sets: it hears of leads that were paused for this reason."""

    def __init__(self) -> None:
        self.reason = "wanted"
        self.asked: list[dict[str, Any]] = []

    def __call__(self, event: dict[str, Any]) -> bool:
        self.asked.append(event)
        return bool(event["data"].get("reason") == self.reason)


@pytest.fixture
def asking() -> Asking:
    return Asking()


@pytest.fixture
async def api(database: Database, vault: Vault, wakeups: Wakeups, tenant: Tenant, asking: Asking) -> Client:
    async def ready() -> dict[str, str]:
        return {}

    async def hearing_of(tx: Tx, ref: Ref) -> Hearing:
        return Hearing(asks=asking)

    router = http.router(Door(database, vault), vault, Streams(database, vault, wakeups), hearing_of)
    app: FastAPI = build_app(load(environ={}), access.Authenticator(database, wakeups), database, [router], ready)
    async with database.transaction(tenant) as tx:
        return Client(app, (await access.issue_key(tx, "Reader", ["events:read"])).shown)


def paused(reason: str, *, person: Any = None, subject: Any = None) -> Fact:
    return LeadCadencePaused(subject_id=subject or ids.new(), story=Story(person), reason=reason)


async def append(database: Database, log: Log, tenant: Tenant, *facts: Fact) -> None:
    async with database.transaction(tenant) as tx:
        await log.append(tx, facts)


async def every_page(api: Client, path: str) -> list[list[dict[str, Any]]]:
    pages, after = [], ""
    while True:
        page = (await api.get(path + after)).json
        pages.append(page["data"])
        if not page["has_more"]:
            return pages
        after = f"&after={page['next_cursor']}"


@given(st.lists(st.booleans(), max_size=50), st.integers(min_value=1, max_value=20))
def test_pages_that_begin_behind_what_was_looked_at_tell_each_that_fits_once(fits: list[bool], limit: int) -> None:
    told, at = [], 0

    while at < len(fits):
        found, looked_at = look(fits[at:], limit)
        assert 0 < looked_at <= len(fits) - at
        assert len(found) == limit or at + looked_at == len(fits)
        told += [at + n for n in found]
        at += looked_at

    assert told == [n for n, fit in enumerate(fits) if fit]


async def test_what_the_filter_lets_through_comes_in_full_pages_each_event_once(
    api: Client, database: Database, log: Log, tenant: Tenant
) -> None:
    await append(database, log, tenant, *[paused("wanted" if n % 3 == 0 else "other") for n in range(15)])

    pages = await every_page(api, f"{PATH}&limit=2")

    assert [len(page) for page in pages] == [2, 2, 1]
    assert len({event["event_id"] for page in pages for event in page}) == 5


async def test_a_request_looks_at_so_many_rows_and_the_next_one_goes_on_behind_them(
    api: Client, database: Database, log: Log, tenant: Tenant, asking: Asking
) -> None:
    others = [paused("other") for _ in range(http.LOOK + 1)]
    await append(database, log, tenant, *others, paused("wanted"))

    pages = await every_page(api, PATH)

    assert [len(page) for page in pages] == [0, 1]
    assert len(asking.asked) == http.LOOK + 2


async def test_by_subject_the_cursor_is_the_last_sequence_that_was_looked_at(
    api: Client, database: Database, log: Log, tenant: Tenant
) -> None:
    lead = ids.new()
    reasons = ["other", "wanted", "other", "wanted", "other"]
    await append(database, log, tenant, *[paused(reason, subject=lead) for reason in reasons])

    pages = await every_page(api, f"{PATH}&subject={ids.show('lead', lead)}&after_sequence=1&limit=1")

    assert [[event["sequence"] for event in page] for page in pages] == [[2], [4], []]


async def test_the_filter_is_asked_about_the_clear_event_and_the_envelope_is_told(
    api: Client, database: Database, vault: Vault, log: Log, tenant: Tenant, asking: Asking
) -> None:
    person = ids.new()
    hidden = {"call.caller_id": "+13125550100"}
    story = Story(person, call=b'{"caller_id":"***0100"}', hidden=hidden)
    async with database.transaction(tenant) as tx:
        await vault.create(tx, [person])
        await log.append(tx, [LeadCadencePaused(subject_id=ids.new(), story=story, reason="wanted")])

    ((told,),) = await every_page(api, PATH)

    assert asking.asked[0]["call"]["caller_id"] == "+13125550100"
    assert told["call"]["caller_id"] == "***0100"


async def test_what_nobody_can_ask_about_any_more_is_told(
    api: Client, database: Database, vault: Vault, log: Log, tenant: Tenant, asking: Asking
) -> None:
    person = ids.new()
    async with database.transaction(tenant) as tx:
        await vault.create(tx, [person])
        await log.append(tx, [paused("other", person=person), sample_of("call.answered")])
        await vault.shred(tx, person, reason="request", kept=[])

    ((erased, sample),) = await every_page(api, PATH)

    assert (erased["data"], sample["type"]) == ({"erased": True}, "call.answered")
    assert asking.asked == []
