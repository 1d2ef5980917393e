"""A page of a long log costs a page."""

from tests.db.explaining import Explaining

from offhook import ids
from offhook.db import Database, Tenant
from offhook.events import Log, Story, store
from offhook.events.catalogue.leads import LeadCadencePaused


async def test_the_log_is_read_in_the_order_of_its_index(database: Database, log: Log, tenant: Tenant) -> None:
    lead = ids.new()
    async with database.transaction(tenant) as tx:
        await log.append(tx, [LeadCadencePaused(subject_id=lead, story=Story(), reason="api_key") for _ in range(500)])
    async with database.transaction(tenant, reading=True) as tx:
        whole, story = Explaining(tx), Explaining(tx)
        await store.after_position(whole, store.Wanted(), store.BEGINNING, 10)
        await store.after_sequence(story, lead, store.Wanted(), 0, 10)

    for explained in (whole, story):
        assert "Index Scan" in {node["Node Type"] for node in explained.nodes}
    assert not {"Sort", "Incremental Sort"} & {node["Node Type"] for node in whole.nodes}
    assert max(node["Actual Rows"] for node in whole.nodes) <= 20
