"""What the operator sets reaches the owner of an endpoint: the addresses that he tells, the networks that he opens."""

from typing import Any

import pytest
from tests.webhooks.conftest import Receiver

from offhook import ids
from offhook.db import Tenant
from offhook.wiring import Credentials, House

PATH = "/v1/webhook-endpoints"
NETWORK = {"OFFHOOK_WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8"}
PLAIN = {"OFFHOOK_WEBHOOK_ALLOW_HTTP": "true"}


@pytest.fixture
async def live(house: House, acme: Credentials, client_of: Any) -> Any:
    """Acme's live half at the API."""
    return client_of(house.app, acme.live_key)


@pytest.mark.parametrize("environ", [{"OFFHOOK_EGRESS_ADDRESSES": "198.51.100.7, 2001:db8::/48"}])
async def test_the_addresses_that_the_operator_set_are_told_by_the_api(live: Any) -> None:
    told = await live.get("/v1/egress")

    assert (told.status, told.json["published"]) == (200, True)
    assert told.json["addresses"] == ["198.51.100.7/32", "2001:db8::/48"]


async def test_who_set_none_has_none_told(live: Any) -> None:
    assert (await live.get("/v1/egress")).json == {"object": "egress", "addresses": [], "published": False}


@pytest.mark.parametrize("environ", [{**NETWORK, **PLAIN}])
async def test_plain_http_in_an_allowed_network_is_taken_and_told_in_live(
    house: House, acme: Credentials, live: Any, receiver: Receiver
) -> None:
    made = await live.post(PATH, {"url": receiver.url, "events": ["*"]})
    await live.post(f"{PATH}/{made.json['id']}/test")

    await house.webhooks.sender.drain(Tenant(ids.read("ws", acme.workspace_id), "live"))

    assert (made.status, made.json["ssrf"]["verdict"]) == (201, "allowed")
    assert len(receiver.received) == 1


@pytest.mark.parametrize("environ", [{}, NETWORK, PLAIN, {"OFFHOOK_WEBHOOK_ALLOW_NETWORKS": "10.0.0.0/8", **PLAIN}])
async def test_it_is_refused_where_either_is_not_set(live: Any, receiver: Receiver) -> None:
    refused = await live.post(PATH, {"url": receiver.url, "events": ["*"]})

    assert (refused.status, refused.json["code"], refused.json["param"]) == (422, "url_refused", "url")
