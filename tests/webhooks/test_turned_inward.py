"""A name that pointed outward when its endpoint was made, and inward later: each try says so to the owner."""

from typing import Any

import pytest
from tests.journeys.stage import Stage

from offhook.db import Tenant
from offhook.wiring import House


class Names:
    """A name server whose every name has the one address."""

    def __init__(self) -> None:
        self.address = "8.8.8.8"

    async def resolve(self, _: str) -> list[str]:
        return [self.address]


@pytest.fixture
async def owner(house: House, sandbox: Tenant, acme: Any, client_of: Any) -> Stage:
    return Stage(house, sandbox, client_of(house.app, acme.test_key))


async def tries(owner: Stage) -> list[dict[str, Any]]:
    (listed,) = (await owner.get("/v1/deliveries"))["data"]
    return list((await owner.get(f"/v1/deliveries/{listed['id']}"))["tries"])


@pytest.mark.parametrize("inward", ["10.0.0.1", "169.254.169.254", "fd00::1"])
async def test_each_try_of_a_delivery_tells_that_the_address_was_refused(
    owner: Stage, a_lead: Any, monkeypatch: pytest.MonkeyPatch, inward: str
) -> None:
    names = Names()
    monkeypatch.setattr(owner.house.outbound, "_resolve", names.resolve)
    hook = {"url": "https://crm.example/", "events": ["lead.accepted"], "retry": {"gaps_s": [0, 60]}}
    made = await owner.post("/v1/webhook-endpoints", hook)
    names.address = inward

    await owner.send(a_lead())
    await owner.passes(seconds=70)

    assert made["ssrf"] == {"verdict": "allowed", "address": "8.8.8.8"}
    told = await tries(owner)
    assert [one["error"]["code"] for one in told] == ["refused_address"] * 2
    assert all(one["status_code"] is None for one in told)
