"""A list reads about as many rows as it shows, however many others there are: of the tenant, and of its neighbours."""

from collections import Counter
from collections.abc import Awaitable, Callable

import psycopg
import pytest
from tests.db.explaining import Explaining

from offhook import ids
from offhook.calls import store as calls
from offhook.db import Database, Tenant, Tx
from offhook.dialing import store as dialing
from offhook.leads import store as leads
from offhook.webhooks import delivery_store
from offhook.webhooks.delivery_store import Wanted

MANY, FEW = 5000, 20
CAMPAIGN, ENDPOINT = ids.new(), ids.new()
Read = Callable[[Tx], Awaitable[object]]

NO_REFERENCES = """
do $$ declare name text; begin
  for name in select conname from pg_constraint where conrelid = 'attempt'::regclass and contype = 'f' loop
    execute format('alter table attempt drop constraint %I', name);
  end loop;
end $$;
set role offhook_app
"""
DELIVERIES = """
insert into endpoint (workspace_id, environment, id, url, events, secret, status, created_at, updated_at)
  values (%(ws)s, 'sandbox', %(endpoint)s, 'x', '{*}', '', 'paused', now(), now());
insert into delivery (workspace_id, environment, written_at, id, event_id, event_at, endpoint_id, type, subject_id, sequence)
  select %(ws)s, 'sandbox', now(), gen_random_uuid(), gen_random_uuid(), now(), %(endpoint)s, 'lead.accepted', gen_random_uuid(), 1
  from generate_series(1, %(deliveries)s);
insert into due (workspace_id, environment, delivery_id, written_at, event_id, event_at, endpoint_id, due_at)
  select workspace_id, environment, id, written_at, event_id, event_at, endpoint_id, now() from delivery;
"""
THE_REST = """
insert into call (workspace_id, environment, id, direction, mode, status, person_id, provider_account_id, number_tag, state, started_at,
    ended_at, updated_at)
  select %(ws)s, 'sandbox', gen_random_uuid(), 'outbound', 'ai_first', case when n %% 250 = 0 then 'answered' else 'ended' end,
    gen_random_uuid(), gen_random_uuid(), 'x', '{}', now() - n * interval '1 second', case when n %% 250 = 0 then null else now() end, now()
  from generate_series(1, %(many)s) n;
insert into lead (workspace_id, environment, id, ref_tag, payload_tag, campaign_id, status, number_tag, zones, jurisdictions, preflight,
    created_at, updated_at)
  select %(ws)s, 'sandbox', md5('l' || n)::uuid, int4send(n), 'x', case when n %% 250 = 0 then %(campaign)s else md5('c' || n %% 7)::uuid end,
    'scheduled', int4send(n), '{}', '{}', '{}', now(), now()
  from generate_series(1, %(many)s) n;
insert into attempt (workspace_id, environment, id, lead_id, campaign_id, n, cadence_id, cadence_version, state, due_at)
  select workspace_id, environment, gen_random_uuid(), id, campaign_id, 1, gen_random_uuid(), 1,
    (array['planned', 'paused', 'dialing', 'resolved', 'cancelled'])[1 + get_byte(ref_tag, 3) %% 5], now()
  from lead;
"""


@pytest.fixture(autouse=True)
def full(database_url: str, tenant: Tenant, stranger: Tenant) -> None:
    with psycopg.connect(database_url, autocommit=True, cursor_factory=psycopg.ClientCursor) as owner:
        owner.execute(NO_REFERENCES)
        for whose, endpoint, deliveries in ((stranger, ids.new(), MANY), (tenant, ENDPOINT, FEW)):
            values = {"ws": whose.workspace, "endpoint": endpoint, "deliveries": deliveries}
            owner.execute(
                "select set_config('offhook.workspace', %(ws)s::text, false), set_config('offhook.environment', 'sandbox', false);"
                + DELIVERIES,
                values,
            )
        owner.execute(THE_REST, {"ws": tenant.workspace, "many": MANY, "campaign": CAMPAIGN})
        owner.execute("reset role; analyze due, delivery, endpoint, call, lead, attempt")


LISTS: dict[str, Read] = {
    "held deliveries": lambda tx: delivery_store.page(tx, Wanted(status="held"), None, 51),
    "held deliveries of one endpoint": lambda tx: delivery_store.page(tx, Wanted(ENDPOINT, "held"), None, 51),
    "answered calls": lambda tx: calls.page(tx, None, "answered", None, 51),
    "ended calls": lambda tx: calls.page(tx, None, "ended", None, 51),
    "leads of a campaign": lambda tx: leads.listed(tx, None, CAMPAIGN, None, 51),
    "how many leads a campaign has": lambda tx: leads.in_campaign(tx, CAMPAIGN),
    "how a campaign gets on": lambda tx: dialing.progress(tx, CAMPAIGN),
    "how many leads a campaign dials": lambda tx: dialing.lead_count(tx, CAMPAIGN),
}


@pytest.mark.parametrize("read", LISTS.values(), ids=LISTS)
async def test_a_list_reads_no_more_than_what_may_be_in_it(database: Database, tenant: Tenant, read: Read) -> None:
    async with database.transaction(tenant, reading=True) as tx:
        shown = await read(tx)
        tables = await rows_read(tx, read)

    assert shown
    assert tables
    assert max(tables.values()) <= 100, tables


async def rows_read(tx: Tx, read: Read) -> dict[str, int]:
    """How many rows of each table the statement of `read` looks at, those it passes over too."""
    explaining = Explaining(tx)
    await read(explaining)
    tables: Counter[str] = Counter()
    for node in explaining.nodes:
        if table := node.get("Relation Name"):
            passed_over = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
            tables[table] += round((node["Actual Rows"] + passed_over) * node["Actual Loops"])
    return tables
