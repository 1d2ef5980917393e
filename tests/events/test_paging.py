"""A page of a long log costs a page."""

from typing import Any, LiteralString

from psycopg.rows import TupleRow

from offhook import ids
from offhook.db import Database, Tenant, Tx
from offhook.events import Log, Story, store
from offhook.events.catalogue.leads import LeadCadencePaused


class Planning(Tx):
    """Runs nothing: it keeps how PostgreSQL would."""

    plan: str

    async def rows(self, query: LiteralString, params: Any = None) -> list[TupleRow]:
        self.plan = "\n".join(line for (line,) in await super().rows(f"explain {query}", params))
        return []


async def test_the_log_is_read_in_the_order_of_its_index(database: Database, log: Log, tenant: Tenant) -> None:
    lead = ids.new()
    async with database.transaction(tenant) as tx:
        await log.append(tx, [LeadCadencePaused(subject_id=lead, story=Story(), reason="api_key") for _ in range(500)])
    async with database.transaction(tenant, reading=True) as tx:
        planning = Planning(tx.connection, tx.tenant, tx.now, tx.wall)

        await store.after_position(planning, store.Wanted(), store.BEGINNING, 10)
        assert "Index Scan" in planning.plan
        assert "Sort  (" not in planning.plan

        await store.after_sequence(planning, lead, store.Wanted(), 0, 10)
        assert "Index Scan" in planning.plan
