"""An endpoint that moves to another host takes no credentials there that were not given for it."""

from typing import Any

import pytest
from tests.conftest import Client
from tests.webhooks.conftest import Receiver, Room
from tests.webhooks.owner import PATH, api_of

from offhook.db import Wakeups

BASIC = {"type": "basic", "username": "anna", "password": "hunter2-and-more"}


@pytest.fixture
async def api(room: Room, wakeups: Wakeups) -> Client:
    return await api_of(room, wakeups)


async def test_a_url_of_another_host_needs_its_credentials_given_anew(
    room: Room, api: Client, receiver: Receiver, neighbour: Receiver
) -> None:
    told = await room.endpoint(receiver.url, authentication=BASIC)

    refused = await api.patch(f"{PATH}/{told.shown['id']}", {"url": neighbour.url})

    (error,) = refused.json["errors"]
    assert (refused.status, error["param"], error["code"]) == (422, "authentication", "needed_with_url")


@pytest.mark.parametrize("given", [BASIC, None])
async def test_with_credentials_or_without_any_it_may_move(
    room: Room, api: Client, receiver: Receiver, neighbour: Receiver, given: Any
) -> None:
    told = await room.endpoint(receiver.url, authentication=BASIC)

    moved = await api.patch(f"{PATH}/{told.shown['id']}", {"url": neighbour.url, "authentication": given})

    assert (moved.status, moved.json["url"]) == (200, neighbour.url)


async def test_another_path_of_the_same_host_needs_nothing(room: Room, api: Client, receiver: Receiver) -> None:
    told = await room.endpoint(receiver.url, authentication=BASIC)

    moved = await api.patch(f"{PATH}/{told.shown['id']}", {"url": receiver.url + "/v2"})

    assert moved.status == 200


@pytest.mark.parametrize("url", ["https://[x", "https://exa\u2100mple.com/", "nats://[x", "s3://[x", "file://[x"])
@pytest.mark.parametrize("more", [{}, {"authentication": BASIC}])
async def test_what_is_no_url_is_refused_at_a_change_as_it_is_at_creation(
    room: Room, api: Client, receiver: Receiver, url: str, more: dict[str, Any]
) -> None:
    told = await room.endpoint(receiver.url, **more)

    at_creation = await api.post(PATH, {"url": url, "events": ["*"], **more})
    at_change = await api.patch(f"{PATH}/{told.shown['id']}", {"url": url})

    assert (at_creation.status, at_change.status) == (422, 422)
    assert at_change.json["errors"] == at_creation.json["errors"]
