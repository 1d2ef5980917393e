"""A kill test: kill at random moments, let everything come to rest, and judge the journals."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from offhook.demo import Api

from .count import Verdict, judge
from .journal import read
from .stage import Stage

REST_S = 2.0
RESTS_WITHIN_S = 300.0
WINDOW = "worker between a request and its recording"
VICTIMS = (WINDOW, "worker", "api", "postgres")
"""The first is killed while the receiver holds back the answers to requests that it has written down."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How often to kill, until how many tellings of events, and how long to wait between (seconds, at random)."""

    kills: int
    events: int
    pace: float
    pause_s: tuple[float, float]
    seed: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to."""

    verdict: Verdict
    kills: Counter[str]
    took_s: float


async def run(plan: Plan, scratch: Path, tell: Callable[[str], None]) -> Outcome:
    """Kill as planned, let everything come to rest, and judge the journals."""
    rng = random.Random(plan.seed)
    stage = Stage(scratch)
    begun = time.monotonic()
    kills: Counter[str] = Counter()
    victims = _victims(rng)
    async with stage.running(plan.pace):
        while kills.total() < plan.kills or await stage.told() < plan.events:
            await asyncio.sleep(rng.uniform(*plan.pause_s))
            if kills.total() < plan.kills:
                victim = next(victims)
                await _kill(stage, victim)
                kills[victim] += 1
                tell(f"{kills.total()} of {plan.kills}: {victim}; {await stage.told():,} tellings")
        await stage.client.stop()
        tell("waiting for rest")
        await _rest(stage)
        tell("replaying the dead letters")
        await stage.mend()
        await _rest(stage)
        log = await stage.log()
    client, platform, receiver = (read(stage.journal(name)) for name in ("client", "platform", "receiver"))
    verdict = judge(client, platform, receiver, log)
    return Outcome(verdict, kills, time.monotonic() - begun)


def _victims(rng: random.Random) -> Iterator[str]:
    """All of them in any order, then all of them again: no run is without one of each."""
    while True:
        yield from rng.sample(VICTIMS, len(VICTIMS))


async def _kill(stage: Stage, victim: str) -> None:
    match victim:
        case "api":
            await stage.api.kill()
            await stage.start_api()
        case "worker":
            await stage.worker.kill()
            await stage.start_worker()
        case victim if victim == WINDOW:
            await stage.hold()
            await stage.worker.kill()
            await stage.release()
            await stage.start_worker()
        case _:
            await stage.kill_postgres()
            await stage.start_postgres()


async def _rest(stage: Stage) -> None:
    """Return when no call is out, nothing waits for an endpoint, and the receiver has heard nothing for a while."""
    deadline = time.monotonic() + RESTS_WITHIN_S
    quiet_since, heard = time.monotonic(), -1
    async with Api(f"http://127.0.0.1:{stage.port}", stage.key) as api:
        while time.monotonic() - quiet_since < REST_S and time.monotonic() < deadline:
            requests = await stage.requests()
            if requests != heard or await _is_busy(api):
                quiet_since, heard = time.monotonic(), requests
            await asyncio.sleep(0.25)


async def _is_busy(api: Api) -> bool:
    campaigns = (await api.get("/v1/campaigns"))["data"]
    progress = [await api.get(f"/v1/campaigns/{one['id']}/progress") for one in campaigns]
    endpoints = (await api.get("/v1/webhook-endpoints"))["data"]
    stats = [await api.get(f"/v1/webhook-endpoints/{one['id']}/stats") for one in endpoints]
    replays = (await api.get("/v1/replays"))["data"]
    return (
        any(one["attempts"]["dialing"] for one in progress)
        or any(sum(one["open"].values()) for one in stats)
        or any(one["status"] in ("queued", "running") for one in replays)
    )
