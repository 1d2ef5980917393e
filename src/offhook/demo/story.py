"""The run itself, told to the public API like any customer would: set up, import, and let the clock run."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import orjson

from offhook.demo.api import Api
from offhook.demo.export import MAPPING, Export
from offhook.demo.ledger import Times, Told
from offhook.demo.store import Journal
from offhook.errors import OffhookError

NINE = datetime(2026, 11, 23, 14, tzinfo=UTC)
"""09:00 in New York on Monday 2026-11-23."""
MAX_LIVE_TRANSFERS = 5
NAME = "offhook demo"
CADENCE = {"name": NAME, "gaps_s": [0, 4 * 3600, 24 * 3600], "attempts_per_day": 3, "attempts_in_all": 3}
ACCOUNT = {"provider": "sandbox", "name": NAME, "settings": {"beat_s": 60}}
"""The slowest beat: what falls due together is done together, and twenty thousand calls fit into minutes."""
SLICE = timedelta(minutes=15)
DOWN_FROM = NINE + timedelta(minutes=30)
DOWN_FOR = timedelta(minutes=10)
LONGEST = timedelta(days=60)
_SETTLES_IN_S = 60
_LOOK_S = 0.1


class DemoStuck(OffhookError):
    """The demo cannot go on; `detail` says what it waited for."""


@dataclass(slots=True)
class Glance:
    """What there is to see while it runs."""

    phase: str = "starting"
    now: datetime = NINE
    rows_done: int = 0
    rows: int = 0
    planned: int = 0
    calls_out: int = 0
    resolved: int = 0
    reached: int = 0
    live_transfers: int = 0
    events: int = 0
    receiver_is_up: bool = True


class ReceiverDoor:
    """The control port of the receiver's process."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    async def tell(self, what: str, **said: str) -> dict[str, Any]:
        """Tell it to `begin`, go `down`, come `up`, or give its `counts`."""
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self._url}/{what}", data=orjson.dumps(said)) as answer,
        ):
            found: dict[str, Any] = orjson.loads(await answer.read())
            return found


class Story:
    """One run of the demo."""

    def __init__(self, api: Api, receiver: ReceiverDoor, export: Export, watch: Callable[[Glance], None]) -> None:
        self._api = api
        self._receiver = receiver
        self._export = export
        self._watch = watch
        self._glance = Glance(rows=export.rows)
        self._campaign = ""
        self._endpoint = ""
        self._result: dict[str, Any] = {}
        self._waiting = 0

    async def set_up(self, hook_url: str, key: str) -> None:
        """An empty sandbox at nine o'clock, a campaign with five transfers at most, an endpoint that hears everything."""
        await self._api.post("/v1/sandbox/reset", {"now": NINE.isoformat()})
        endpoint = await self._api.post("/v1/webhook-endpoints", {"url": hook_url, "events": ["*"], "activate": True})
        self._endpoint = endpoint["id"]
        await self._receiver.tell("begin", secret=endpoint["secret"], url=self._api.url, key=key)
        self._campaign = await self._start_campaign()

    async def _start_campaign(self) -> str:
        cadence = await self._api.post("/v1/cadences", CADENCE)
        wanted = {"name": NAME, "cadence_id": cadence["id"], "provider_account_id": await self._pretend_account()}
        campaign = await self._api.post("/v1/campaigns", {**wanted, "max_live_transfers": MAX_LIVE_TRANSFERS})
        await self._api.post(f"/v1/campaigns/{campaign['id']}/start")
        return str(campaign["id"])

    async def _pretend_account(self) -> str:
        accounts = (await self._api.get("/v1/provider-accounts"))["data"]
        if ours := [one["id"] for one in accounts if one["name"] == ACCOUNT["name"]]:
            return str(ours[0])
        return str((await self._api.post("/v1/provider-accounts", ACCOUNT))["id"])

    async def run(self) -> Times:
        """Import, and run the clock until nothing is due. Raises DemoStuck when it does not come to an end."""
        begun = time.monotonic()
        await self._import()
        imported = time.monotonic()
        await self._advance(DOWN_FROM)
        await self._receiver.tell("down")
        self._glance.receiver_is_up = False
        await self._advance(DOWN_FROM + DOWN_FOR)
        self._waiting = sum((await self._open_deliveries()).values())
        await self._receiver.tell("up")
        self._glance.receiver_is_up = True
        await self._until_nothing_is_due()
        virtual = self._glance.now - NINE
        return Times(imported - begun, time.monotonic() - begun, virtual / timedelta(days=1))

    async def told(self, journal: Journal) -> Told:
        """What the API says at the end, compared event by event with what the receiver has."""
        self._show(phase="comparing")
        events = lost = 0
        async for page in self._api.pages("/v1/events"):
            expected = [event for event in page if event["subject"]["id"] != self._endpoint]
            events += len(expected)
            lost += sum(not journal.knows(event["event_id"]) for event in expected)
        left_open = sum((await self._open_deliveries()).values())
        dead = 0
        async for page in self._api.pages("/v1/dead-letters"):
            dead += len(page)
        return Told(self._result, events, lost, self._waiting, left_open, dead)

    async def clear_away(self) -> None:
        """Delete the endpoint of this run, so that the receiver that is gone is not told any more."""
        await self._api.delete(f"/v1/webhook-endpoints/{self._endpoint}")

    async def _open_deliveries(self) -> dict[str, int]:
        """How many deliveries wait, by their state; each is counted up to 1,000."""
        stats = await self._api.get(f"/v1/webhook-endpoints/{self._endpoint}/stats")
        found: dict[str, int] = stats["open"]
        return found

    async def _import(self) -> None:
        self._show(phase="importing")
        mapping = orjson.dumps({**MAPPING, "campaign_id": {"constant": self._campaign}}).decode()
        content = self._export.content
        started = await self._api.upload("/v1/leads/import", self._export.name, content, {"mapping": mapping})
        job = await self._finished(started["job_id"])
        self._result = job["result"]
        self._show(rows_done=job["done"])

    async def _until_nothing_is_due(self) -> None:
        while True:
            due = await self._advance_one_slice(None)
            if due is None and await self._is_quiet():
                return
            if self._glance.now > NINE + LONGEST:
                raise DemoStuck("no_end", f"After {LONGEST.days} virtual days work still falls due.")

    async def _advance(self, to: datetime) -> None:
        while self._glance.now < to:
            await self._advance_one_slice(to)

    async def _advance_one_slice(self, goal: datetime | None) -> datetime | None:
        """Let a quarter of an hour pass, or what is left to the goal, or the whole time until something is due; what is due next."""
        clock = await self._api.get("/v1/sandbox/clock")
        now, due = datetime.fromisoformat(clock["now"]), _instant(clock["next_due_at"])
        if goal is None and due is None:
            return None
        to = max(now + SLICE, due or now)
        clock = await self._settled({"to": (min(to, goal) if goal else to).isoformat()}, now)
        progress = (await self._api.get(f"/v1/campaigns/{self._campaign}/progress"))["attempts"]
        counts = await self._receiver.tell("counts")
        self._show(
            phase="dialing",
            now=datetime.fromisoformat(clock["now"]),
            planned=progress["planned"],
            calls_out=progress["dialing"],
            resolved=sum(progress["resolved"].values()),
            reached=counts["reached"],
            live_transfers=counts["live_transfers"],
            events=counts["processed"],
        )
        return _instant(clock["next_due_at"])

    async def _settled(self, goal: dict[str, str], now: datetime) -> dict[str, Any]:
        if datetime.fromisoformat(goal["to"]) <= now:
            return await self._clock()
        clock: dict[str, Any] = await self._api.post("/v1/sandbox/clock/advance", goal)
        if job := clock.get("job_id"):
            await self._finished(job)
            return await self._clock()
        return clock

    async def _finished(self, job_id: str) -> dict[str, Any]:
        """The job, once it is done. Raises DemoStuck when it failed."""
        while True:
            job: dict[str, Any] = await self._api.get(f"/v1/jobs/{job_id}")
            if job["status"] == "done":
                return job
            if job["status"] == "failed":
                raise DemoStuck("job_failed", f"The job {job['kind']} failed; the log of the server says why.")
            if job["kind"] == "leads.import":
                self._show(rows_done=job["done"])
            await asyncio.sleep(_LOOK_S)

    async def _clock(self) -> dict[str, Any]:
        found: dict[str, Any] = await self._api.get("/v1/sandbox/clock")
        return found

    async def _is_quiet(self) -> bool:
        """Whether the receiver has posted everything back and that set nothing off."""
        for _ in range(int(_SETTLES_IN_S / _LOOK_S)):
            if (await self._receiver.tell("counts"))["replies_open"] == 0:
                return (await self._clock())["next_due_at"] is None
            await asyncio.sleep(_LOOK_S)
        raise DemoStuck("post_backs_open", "The receiver did not get its post-backs through within a minute.")

    def _show(self, **seen: Any) -> None:
        for name, value in seen.items():
            setattr(self._glance, name, value)
        self._watch(self._glance)


def _instant(shown: str | None) -> datetime | None:
    return datetime.fromisoformat(shown) if shown else None
