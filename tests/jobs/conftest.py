"""A shop of runners for every test of jobs."""

import pytest
from tests.jobs.shop import Shop

from offhook.db import Database, Tenant, Wakeups


@pytest.fixture
def shop(database: Database, wakeups: Wakeups, tenant: Tenant) -> Shop:
    return Shop(database, wakeups, tenant)
