"""What a process knows of endpoints is never older than what it was told."""

import asyncio

import pytest
from tests.webhooks.conftest import Receiver, Room

from offhook.db import Wakeups
from offhook.webhooks import store
from offhook.webhooks.directory import Book, Directory


async def test_an_endpoint_that_this_process_has_not_heard_of_gets_what_it_claims(
    room: Room, worker: Room, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await room.endpoint(receiver.url)
    await worker.webhooks.directory.latest(worker.tenant)
    monkeypatch.setattr(worker.webhooks.directory, "_hear", lambda _: None)
    stale = Book(10**6, [(await worker.webhooks.directory.latest(worker.tenant)).endpoints[first.id]])
    worker.webhooks.directory._books[worker.tenant] = stale  # as if the word of the new one had not come yet
    await worker.endpoint(receiver.url, ["lead.*"])
    await worker.happens()

    worker.webhooks.directory._books[worker.tenant] = stale
    await worker.drain()

    assert [one["status"] for one in await room.deliveries()] == ["delivered"] * 2


async def test_a_book_that_was_read_before_the_word_of_a_newer_one_is_not_kept(
    room: Room, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await room.endpoint(receiver.url)
    directory = Directory(room.database, room.vault, Wakeups(room.database.url))
    read_all, told = store.read_all, asyncio.Event()

    async def overtaken(*asked: object) -> object:
        found = await read_all(*asked)  # type: ignore[arg-type]
        directory._hear(f"{room.tenant.workspace}:{room.tenant.environment}:{found[0] + 1}")
        told.set()
        return found

    monkeypatch.setattr(store, "read_all", overtaken)
    old = await directory.latest(room.tenant)

    assert told.is_set()
    assert directory.known(room.tenant) is None
    monkeypatch.setattr(store, "read_all", read_all)
    assert (await directory.latest(room.tenant)).generation == old.generation


async def test_what_was_read_while_no_word_could_come_is_not_kept(
    room: Room, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await room.endpoint(receiver.url)
    directory = Directory(room.database, room.vault, Wakeups(room.database.url))
    read_all = store.read_all

    async def cut_off(*asked: object) -> object:
        found = await read_all(*asked)  # type: ignore[arg-type]
        directory._forget()
        return found

    monkeypatch.setattr(store, "read_all", cut_off)
    await directory.latest(room.tenant)

    assert directory.known(room.tenant) is None
