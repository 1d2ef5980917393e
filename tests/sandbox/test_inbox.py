"""Whom a message in the inbox is about, in every format, and that it dies with them."""

from typing import Any
from uuid import UUID

import orjson
import pytest

from offhook import ids
from offhook.db import Database, Tenant
from offhook.privacy import Vault
from offhook.sandbox.inbox import Inbox, persons_in

ADA, BEN = ids.new(), ids.new()


def event(person: UUID | None, format: str = "envelope") -> dict[str, Any]:
    told = {"correlation_id": ids.show("lead", person) if person else None, "data": {"name": "secret"}}
    return {"specversion": "1.0", "data": told} if format == "cloudevents_structured" else told


def batch(*persons: UUID | None, format: str = "envelope") -> Any:
    events = [event(person, format) for person in persons]
    return events if format == "cloudevents_structured" else {"object": "batch", "events": events}


@pytest.mark.parametrize("format", ["envelope", "cloudevents_structured"])
def test_in_every_format_the_persons_are_found(format: str) -> None:
    assert persons_in(orjson.dumps(event(ADA, format))) == {ADA}
    assert persons_in(orjson.dumps(event(None, format))) == set()
    assert persons_in(orjson.dumps(batch(ADA, None, ADA, format=format))) == {ADA}
    assert persons_in(orjson.dumps(batch(ADA, BEN, format=format))) == {ADA, BEN}


@pytest.mark.parametrize("body", [b"", b"hello", b"7", b"[7]", b'{"events": 7, "data": [], "correlation_id": {}}'])
def test_what_is_no_event_is_about_nobody(body: bytes) -> None:
    assert persons_in(body) == set()


@pytest.fixture
async def inbox(database: Database, vault: Vault, tenant: Tenant) -> Inbox:
    async with database.transaction(tenant) as tx:
        await vault.create(tx, [ADA, BEN])
    return Inbox(vault)


@pytest.mark.parametrize(
    "told",
    [
        event(ADA),
        event(ADA, "cloudevents_structured"),
        batch(ADA, None),
        batch(ADA, ADA, format="cloudevents_structured"),
    ],
)
async def test_a_message_about_one_person_is_erased_with_them(
    inbox: Inbox, database: Database, vault: Vault, tenant: Tenant, told: Any
) -> None:
    async with database.transaction(tenant) as tx:
        await inbox.keep(tx, {}, orjson.dumps(told), verified=True)
        (before,) = await inbox.shown(tx, None, 10)
        await vault.shred(tx, ADA, reason="request", kept=[])
    async with database.transaction(tenant) as tx:
        (after,) = await inbox.shown(tx, None, 10)

    assert "secret" in before["body"]
    assert (after["erased"], after["body"]) == (True, None)


@pytest.mark.parametrize("format", ["envelope", "cloudevents_structured"])
async def test_of_a_message_about_several_the_body_is_not_kept_and_it_says_so(
    inbox: Inbox, database: Database, tenant: Tenant, format: str
) -> None:
    async with database.transaction(tenant) as tx:
        await inbox.keep(tx, {"webhook-id": "bat_1"}, orjson.dumps(batch(ADA, BEN, format=format)), verified=True)
        (told,) = await inbox.shown(tx, None, 10)

    assert (told["body"], told["withheld"]) == (None, "several_persons")
    assert told["headers"] == {"webhook-id": "bat_1"}
