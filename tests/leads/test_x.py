from datetime import timedelta

from offhook import jobs
from offhook.jobs import progress
from offhook.sandbox.http import ADVANCE


async def test_x(house, sandbox, a_lead, client_of, acme):
    async with house.database.transaction(sandbox) as tx:
        to = tx.now + timedelta(hours=1)
        job = await jobs.enqueue(tx, ADVANCE, {"to": to.isoformat()})
        await progress.start(tx, job, ADVANCE, total=None)
    import asyncio

    try:
        async with asyncio.timeout(5):
            await house.runner.drain_once(sandbox)
    except TimeoutError:
        print("TIMEOUT")
    async with house.database.transaction(sandbox) as tx:
        print(tx.now, await progress.show(tx, job))
