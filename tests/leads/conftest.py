"""The stage of the journeys, and short words for what the tests of leads do on it."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.journeys.stage import Stage, stage

from offhook import ids
from offhook.db import Tenant
from offhook.leads import LeadIn
from offhook.leads.ingest import Ingested
from offhook.wiring import Credentials, House

__all__ = ["stage"]

Ingest = Callable[..., Any]


@pytest.fixture
def ingest(house: House, sandbox: Tenant) -> Ingest:
    """`await ingest(lead, …)`: the answers to these leads, taken in as one batch; `tenant` is the sandbox by default."""

    async def take_in(*leads: LeadIn, tenant: Tenant = sandbox) -> Sequence[Ingested]:
        async with house.database.transaction(tenant) as tx:
            return await house.leads.ingest(tx, leads)

    return take_in


@pytest.fixture
def live(acme: Credentials) -> Tenant:
    """Acme's live environment, whose default campaign is a draft."""
    return Tenant(ids.read("ws", acme.workspace_id), "live")


@pytest.fixture
def api(stage: Stage) -> Any:
    """The owner at the API of the sandbox."""
    return stage.api
