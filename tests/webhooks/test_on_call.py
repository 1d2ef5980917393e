"""Whoever is on call, from the API to the letter: the paths, the reactions, the job and the loops as they are wired."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiosmtpd.smtp import SMTP
from tests.journeys.stage import PATIENCE_S, Stage
from tests.webhooks.conftest import Receiver, Says
from tests.webhooks.on_call import MAIL, Inbox

from offhook import ids
from offhook.access import set_clock
from offhook.db import Tenant
from offhook.settings import Settings, load
from offhook.webhooks import incidents
from offhook.webhooks.incident_store import Seen
from offhook.webhooks.incidents import GROUPED, KIND
from offhook.wiring import House


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
async def environ(inbox: Inbox) -> AsyncIterator[dict[str, str]]:
    """An operator who has set a mail server."""
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(inbox), "127.0.0.1", 0)
    yield {"OFFHOOK_SMTP_URL": f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"}
    server.close()


class Owner(Stage):
    """Acme's owner, and what is known of the job that writes letters."""

    async def half_a_minute(self) -> None:
        """Let everything happen while a little more than that passes."""
        to = await self.now() + timedelta(seconds=31)
        await self.house.clock.advance(self.tenant, to, budget_s=PATIENCE_S)

    async def endpoint(self, receiver: Receiver, **more: Any) -> str:
        made = await self.post("/v1/webhook-endpoints", {"url": receiver.url, "events": ["lead.accepted"], **more})
        return str(made["id"])

    async def alert(self, to: dict[str, Any], **more: Any) -> str:
        return str((await self.post("/v1/alerts", {"name": "On call", "to": to, **more}, 201))["id"])

    async def wrong_now(self, alert: str) -> list[str]:
        """What the alert shows to be wrong."""
        return [one["about"] for one in (await self.get(f"/v1/alerts/{alert}"))["open"]]

    async def letters_due_in(self) -> list[timedelta]:
        """How long each waiting job still waits."""
        async with self.house.database.transaction(self.tenant) as tx:
            return [at - tx.now for (at,) in await tx.rows("select run_at from job where kind = %s", [KIND])]

    async def happens(self, count: int, a_lead: Callable[..., Any]) -> None:
        """So many leads come, and their endpoints are told. No time passes."""
        await self.send(*(a_lead() for _ in range(count)))
        await self.house.webhooks.sender.drain(self.tenant)


@pytest.fixture
async def owner(house: House, sandbox: Tenant, acme: Any, client_of: Any) -> Owner:
    return Owner(house, sandbox, client_of(house.app, acme.test_key))


async def test_who_set_an_alert_by_the_api_gets_a_letter_half_a_minute_after_an_endpoint_fails(
    owner: Owner, inbox: Inbox, receiver: Receiver, a_lead: Any
) -> None:
    receiver.says = [Says(500)]
    endpoint, alert = await owner.endpoint(receiver), await owner.alert(MAIL)

    await owner.happens(10, a_lead)
    assert await owner.wrong_now(alert) == ["failing"]
    assert inbox.letters == []
    await owner.half_a_minute()

    (letter,) = inbox.letters
    assert f"{endpoint} fails since" in letter.content.decode()
    assert (await owner.get(f"/v1/alerts/{alert}"))["last_told_at"] is not None


async def test_an_endpoint_that_is_gone_is_told_to_be_disabled(
    owner: Owner, inbox: Inbox, receiver: Receiver, a_lead: Any
) -> None:
    receiver.says = [Says(410)]
    endpoint = await owner.endpoint(receiver)
    alert = await owner.alert(MAIL, about=["disabled"])

    await owner.happens(1, a_lead)
    assert await owner.wrong_now(alert) == ["disabled"]
    await owner.half_a_minute()

    (letter,) = inbox.letters
    assert f"{endpoint} was disabled, and its events are held since" in letter.content.decode()


async def test_who_disables_an_endpoint_himself_is_told_nothing(owner: Owner, receiver: Receiver) -> None:
    endpoint, alert = await owner.endpoint(receiver), await owner.alert(MAIL)

    await owner.post(f"/v1/webhook-endpoints/{endpoint}/disable")

    assert await owner.wrong_now(alert) == []
    assert await owner.letters_due_in() == []


async def test_troubles_that_come_together_wait_half_a_minute_for_one_another_in_one_job(
    owner: Owner, receiver: Receiver, neighbour: Receiver, a_lead: Any
) -> None:
    receiver.says, neighbour.says = [Says(410)], [Says(500)]
    for one in (receiver, neighbour):
        await owner.endpoint(one)
    alert = await owner.alert(MAIL)

    await owner.happens(10, a_lead)

    assert sorted(await owner.wrong_now(alert)) == ["dead_letters", "disabled", "failing"]
    (wait,) = await owner.letters_due_in()
    assert timedelta() < wait <= GROUPED


async def test_slack_is_told_by_the_job_too(owner: Owner, receiver: Receiver, neighbour: Receiver, a_lead: Any) -> None:
    receiver.says = [Says(410)]
    await owner.endpoint(receiver)
    await owner.alert({"type": "slack", "url": neighbour.url}, about=["disabled"])

    await owner.happens(1, a_lead)
    await owner.half_a_minute()

    (told,) = neighbour.received
    assert "was disabled" in orjson.loads(told.body)["text"]


async def test_the_letter_waits_half_a_minute_from_the_first_trouble_on(owner: Owner, receiver: Receiver) -> None:
    endpoint = ids.read("whe", await owner.endpoint(receiver))
    database = owner.house.database

    async with database.transaction(owner.tenant) as tx:
        await incidents.begin(tx, [Seen(endpoint, "failing", 1, "failures_in_row")])
        assert await tx.rows("select run_at from job where kind = %s", [KIND]) == [(tx.now + timedelta(seconds=30),)]
        first = tx.now
    await later(owner, timedelta(seconds=10))
    async with database.transaction(owner.tenant) as tx:
        await incidents.begin(tx, [Seen(endpoint, "dead_letters", 1, "http_500")])
        assert await tx.rows("select run_at from job where kind = %s", [KIND]) == [(first + timedelta(seconds=30),)]


async def test_a_process_that_runs_the_loops_finds_what_lags(
    owner: Owner, receiver: Receiver, a_lead: Any, environ: dict[str, str], tmp_path: Path
) -> None:
    # At one a second a process leases ten, so the other twenty lag as long as it looks.
    await owner.endpoint(receiver, rate_limit_per_s=1)
    alert = await owner.alert(MAIL, about=["lagging"])
    await owner.send(*(a_lead() for _ in range(30)))
    await later(owner, timedelta(minutes=6))

    async with running(House.build(settings_in(tmp_path, environ), owner.house.url, engine=True)):
        await until_it_is(lambda: owner.wrong_now(alert), ["lagging"])


async def later(owner: Owner, by: timedelta) -> None:
    """Nothing happens in between."""
    async with owner.house.database.transaction(owner.tenant) as tx:
        await set_clock(tx, tx.offset + by)


def settings_in(data_dir: Path, environ: dict[str, str]) -> Settings:
    return load({"data_dir": data_dir, "port": 0}, environ=environ)


@asynccontextmanager
async def running(engine: House) -> AsyncIterator[None]:
    await engine.start()
    try:
        yield
    finally:
        await engine.stop()


async def until_it_is(asked: Callable[[], Awaitable[Any]], wanted: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await asked() != wanted:  # noqa: ASYNC110 - what another process found is told to nobody here
            await asyncio.sleep(0.02)
