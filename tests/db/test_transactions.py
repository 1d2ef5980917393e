import asyncio
from datetime import timedelta

import psycopg
import pytest
from psycopg import sql

from offhook import access, ids
from offhook.db import Database, Tenant, Wakeups
from offhook.errors import Unavailable
async def test_x(house, sandbox, a_lead, client_of, acme, database_url, template):
    api = client_of(house.app, acme.test_key)
    r=await api.post("/v1/webhook-endpoints", {"url":"http://127.0.0.1:9/hook","events":["*"]}); print(r.status, r.json)
    for n in (9,5,1):
        r=await api.post("/v1/leads", a_lead(phone=f"+1212555010{n}").model_dump(mode="json"), Idempotency_Key=f"k{n}"); print(r.status)
    await house.clock.advance(sandbox, (await now(house, sandbox)) + timedelta(minutes=10))
    r=await api.post("/v1/postbacks", {"type":"disposition","client_ref_id":"LD-0","external_ref":"x", "data": {"code":"sold"}}); print(r.status, r.json)
    r=await api.post("/v1/opt-outs", {"channel":"sms","phone":"+12125550123"}); print(r.status, r.json)
    r=await api.post("/v1/leads/ext:LD-2/erase"); print(r.status)
    c=psycopg.connect(template._admin.info.dsn, dbname=psycopg.conninfo.conninfo_to_dict(database_url)["dbname"], host=template._admin.info.host)
    for (t,) in c.execute("select relname from pg_class where relnamespace='public'::regnamespace and relkind in ('r','p') and not relispartition order by 1").fetchall():
        print(t, c.execute(f'select count(*) from "{t}"').fetchone())
async def now(house, sandbox):
    async with house.database.transaction(sandbox) as tx: return tx.now
