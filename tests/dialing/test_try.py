from datetime import timedelta
import time, collections
async def test_it(house, sandbox, a_lead, acme, client_of):
    api = client_of(house.app, acme.test_key)
    t0=time.perf_counter()
    r = await api.post("/v1/leads", a_lead())
    print(r.status, r.json)
    async with house.database.transaction(sandbox) as tx:
        to = tx.now + timedelta(days=2)
    print(await house.clock.advance(sandbox, to), time.perf_counter()-t0)
    r2 = await api.get(f"/v1/leads/{r.json['id']}/timeline")
    for e in r2.json["data"]: print(e["occurred_at"], e["subject"]["type"], e["sequence"], e["type"])
    r = await api.post("/v1/sandbox/leads", {"count": 300, "mix": {"no_answer":3,"busy":1,"voicemail":2,"not_qualified":2,"opt_out":1,"transferred":3,"target_declines":1,"early_hangup":1}})
    t0=time.perf_counter(); c0=time.process_time()
    async with house.database.transaction(sandbox) as tx:
        to = tx.now + timedelta(days=3)
    print(await house.clock.advance(sandbox, to), time.perf_counter()-t0, time.process_time()-c0)
    async with house.database.transaction(sandbox) as tx:
        rows = await tx.rows("select status, count(*) from lead group by 1"); print(rows)
        rows = await tx.rows("select type, count(*) from event group by 1"); print(rows)
