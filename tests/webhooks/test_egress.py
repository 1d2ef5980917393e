"""Where webhooks come from, as a receiver's engineer asks before opening the firewall."""

from ipaddress import ip_network
from typing import Any

import pytest

from offhook import access
from offhook.app import build_app
from offhook.db import Database, Tenant, Wakeups
from offhook.settings import Settings
from offhook.webhooks.egress_http import egress_router


@pytest.fixture
def asking(database: Database, tenant: Tenant, wakeups: Wakeups, client_of: Any) -> Any:
    async def asking(addresses: list[str], *scopes: str) -> Any:
        async def ready() -> dict[str, str]:
            return {}

        routers = [egress_router(map(ip_network, addresses))]
        app = build_app(Settings.model_validate({}), access.Authenticator(database, wakeups), database, routers, ready)
        async with database.transaction(tenant) as tx:
            return client_of(app, (await access.issue_key(tx, "A key", scopes)).shown)

    return asking


async def test_the_published_addresses_are_told_in_one_notation(asking: Any) -> None:
    api = await asking(["198.51.100.7", "2001:db8::/48", "198.51.100.7/32"], "webhooks:read")

    told = await api.get("/v1/egress")

    assert told.status == 200
    assert told.json == {"object": "egress", "addresses": ["198.51.100.7/32", "2001:db8::/48"], "published": True}


async def test_an_operator_who_named_none_has_published_none(asking: Any) -> None:
    told = await (await asking([], "webhooks:read")).get("/v1/egress")

    assert told.json == {"object": "egress", "addresses": [], "published": False}


async def test_what_did_not_change_is_not_told_again(asking: Any) -> None:
    api = await asking(["198.51.100.7"], "webhooks:read")
    etag = (await api.get("/v1/egress")).headers["etag"]
    other = (await (await asking([], "webhooks:read")).get("/v1/egress")).headers["etag"]

    assert (await api.get("/v1/egress", if_none_match=f'"x", W/{etag}')).status == 304
    assert (await api.get("/v1/egress", if_none_match=other)).status == 200


async def test_the_addresses_need_the_right_to_read_webhooks(asking: Any) -> None:
    assert (await (await asking([], "leads:read")).get("/v1/egress")).status == 403
