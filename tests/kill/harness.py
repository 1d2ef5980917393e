"""A kill test: kill at random moments, let everything come to rest, and judge the journals."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from offhook.demo import Api

from .count import Verdict, judge
from .journal import read
from .stage import Stage

REST_S = 8.0
RESTS_WITHIN_S = 300.0


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
    async with stage.running(plan.pace):
        while kills.total() < plan.kills or await stage.told() < plan.events:
            await asyncio.sleep(rng.uniform(*plan.pause_s))
            if kills.total() < plan.kills:
                victim = rng.choice(("api", "worker", "postgres"))
                await _kill(stage, victim)
                kills[victim] += 1
                tell(f"{kills.total()} of {plan.kills}: {victim}; {await stage.told():,} tellings")
        await stage.client.stop()
        tell("waiting for rest")
        await _rest(stage)
    verdict = judge(*(read(stage.journal(name)) for name in ("client", "platform", "receiver")))
    return Outcome(verdict, kills, time.monotonic() - begun)


async def _kill(stage: Stage, victim: str) -> None:
    match victim:
        case "api":
            await stage.api.kill()
            await stage.start_api()
        case "worker":
            await stage.worker.kill()
            await stage.start_worker()
        case _:
            await stage.kill_postgres()
            await stage.start_postgres()


async def _rest(stage: Stage) -> None:
    """Return when no call is out and the receiver has heard nothing for a while. Judging needs no help from the API."""
    deadline = time.monotonic() + RESTS_WITHIN_S
    quiet_since, told = time.monotonic(), -1
    async with Api(f"http://127.0.0.1:{stage.port}", stage.key) as api:
        while time.monotonic() - quiet_since < REST_S and time.monotonic() < deadline:
            now_told = await stage.told()
            if now_told != told or await _is_busy(api):
                quiet_since, told = time.monotonic(), now_told
            await asyncio.sleep(0.5)


async def _is_busy(api: Api) -> bool:
    campaigns = (await api.get("/v1/campaigns"))["data"]
    progress = [await api.get(f"/v1/campaigns/{one['id']}/progress") for one in campaigns]
    endpoints = (await api.get("/v1/webhook-endpoints"))["data"]
    stats = [await api.get(f"/v1/webhook-endpoints/{one['id']}/stats") for one in endpoints]
    return any(one["attempts"]["dialing"] for one in progress) or any(sum(one["open"].values()) for one in stats)
