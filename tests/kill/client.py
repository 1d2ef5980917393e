"""The client: posts leads one by one and in batches until it is told to stop, and never gives one up before its 2xx.

python -m tests.kill.client --port 8400 --key ofk_test_… --journal FILE --pace 10
"""

import argparse
import asyncio
import itertools
import signal
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from offhook.bench import people

from .journal import Journal

BATCH = 5
_AGAIN_S = 0.1
_TIMEOUT_S = 10.0


class Client:
    """A CRM that keeps a record of what it got rid of."""

    def __init__(self, port: int, key: str, journal: Journal) -> None:
        self._url = f"http://127.0.0.1:{port}/v1/leads"
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        self._journal = journal

    async def work(self, pace: float, stopping: asyncio.Event) -> None:
        """Send `pace` leads a second until told to stop: one, then a batch, then one."""
        leads = people.leads("kill")
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        async with aiohttp.ClientSession(headers=self._headers, timeout=timeout) as session:
            for n in itertools.count():
                count = BATCH if n % 2 else 1
                part = list(itertools.islice(leads, count))
                if stopping.is_set() or not part:
                    return
                await self._deliver(session, part)
                await asyncio.sleep(count / pace)

    async def _deliver(self, session: aiohttp.ClientSession, leads: list[bytes]) -> None:
        while True:
            try:
                answered = await (self._one(session, leads[0]) if len(leads) == 1 else self._batch(session, leads))
            except (aiohttp.ClientError, TimeoutError):
                answered = None
            if answered is not None:
                self._journal.write(answered)
                return
            await asyncio.sleep(_AGAIN_S)

    async def _one(self, session: aiohttp.ClientSession, lead: bytes) -> list[dict[str, Any]] | None:
        async with session.post(self._url, data=lead) as answer:
            return [_line(orjson.loads(await answer.read()))] if answer.status < 300 else None

    async def _batch(self, session: aiohttp.ClientSession, leads: list[bytes]) -> list[dict[str, Any]] | None:
        operations = [{"op": "create", "body": orjson.loads(lead)} for lead in leads]
        async with session.post(f"{self._url}/batch", data=orjson.dumps({"operations": operations})) as answer:
            if answer.status >= 300:
                return None
            results = orjson.loads(await answer.read())["results"]
        return [_line(result["body"]) for result in results] if all(r["status"] < 300 for r in results) else None


def _line(lead: dict[str, Any]) -> dict[str, Any]:
    return {"ref": lead["client_ref_id"], "lead": lead["id"], "repeated": lead["duplicate"]}


async def run(port: int, key: str, journal: Path, pace: float) -> None:
    """Work until SIGTERM; what was begun is finished first."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await Client(port, key, Journal(journal)).work(pace, stopping)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--pace", type=float, required=True)
    chosen = parser.parse_args()
    asyncio.run(run(chosen.port, chosen.key, chosen.journal, chosen.pace))


if __name__ == "__main__":
    main()
