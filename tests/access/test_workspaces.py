from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from offhook import access
from offhook.db import Database, Tenant


async def test_a_sandbox_clock_moves_and_the_real_one_stays(database: Database, tenant: Tenant, clock: Any) -> None:
    await clock.to(datetime(2026, 11, 21, 6, 30, tzinfo=UTC))

    async with database.transaction(tenant) as tx:
        assert abs(tx.now - datetime(2026, 11, 21, 6, 30, tzinfo=UTC)) < timedelta(seconds=5)
        assert tx.now != tx.wall


async def test_the_live_clock_cannot_be_moved(database: Database, live_tenant: Tenant) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        async with database.transaction(live_tenant) as tx:
            await access.set_clock(tx, timedelta(hours=1))


async def test_a_workspace_sees_itself_and_no_other(database: Database, tenant: Tenant, stranger: Tenant) -> None:
    async with database.transaction(tenant) as tx:
        seen = await tx.rows("select id from workspace")
        environments = await tx.rows("select environment from environment")

    assert seen == [(tenant.workspace,)]
    assert environments == [("sandbox",)]
