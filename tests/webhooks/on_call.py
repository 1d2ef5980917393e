"""Whoever is on call: a room whose endpoints' troubles are noticed, and a mail server."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from aiosmtpd.smtp import SMTP
from tests.webhooks.conftest import Receiver, Room, Says

from offhook import ids
from offhook.events import Fact
from offhook.events.catalogue.webhooks import EndpointFact
from offhook.events.reactions import Entails, Within
from offhook.jobs import queue
from offhook.jobs.outcome import Outcome
from offhook.outbound.mail import MailServer
from offhook.webhooks import notice
from offhook.webhooks.alert_wire import AlertIn
from offhook.webhooks.alerting import Alerting


class Inbox:
    """A mail server's handler that keeps what it is handed."""

    def __init__(self) -> None:
        self.letters: list[Any] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if any("nobody" in to for to in envelope.rcpt_tos):
            return "550 no such user"
        self.letters.append(envelope)
        return "250 taken"


class OnCall:
    """A room whose endpoints' troubles are noticed, and a mail server."""

    def __init__(self, room: Room, inbox: Inbox, mail: MailServer) -> None:
        self.room, self.inbox, self.mail = room, inbox, mail
        self.alerts = room.webhooks._alerts
        self.alerts._has_mail = True

    async def alert(self, to: dict[str, Any], **more: Any) -> dict[str, Any]:
        body = AlertIn.read({"name": "On call", "to": to, **more})
        found: dict[str, Any] = await self.room.do(self.alerts.create, body)
        return found

    async def shown(self, alert: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = await self.room.do(self.alerts.find, ids.read("alr", alert["id"]))
        return found

    async def run(self) -> Outcome:
        """What the job does when it is due."""
        alerting: Alerting = self.room.webhooks._alerting
        alerting._mail = self.mail
        (job,) = await self.jobs() or [None]
        assert job is not None, "nobody is to be alerted"
        return await alerting.run(job)

    async def jobs(self) -> Sequence[Any]:
        async with self.room.database.transaction(self.room.tenant) as tx:
            rows = await tx.rows(
                "select id, kind, key, args, run_at, fence, failures from job where kind = 'webhooks.alert'"
            )
            return [queue._job(tx.tenant, row) for row in rows]


MAIL = {"type": "email", "addresses": ["on.call@example.com"]}


@asynccontextmanager
async def on_duty(room: Room) -> AsyncIterator[OnCall]:
    room.log.react([Entails(EndpointFact, notice), Within(Fact, room.webhooks.fan_out, tells=True)])
    inbox = Inbox()
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(inbox), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield OnCall(room, inbox, MailServer("127.0.0.1", port, False, sender="offhook@example.com"))
    server.close()


async def fails(room: Room, receiver: Receiver, times: int = 10) -> UUID:
    receiver.says = [Says(500)]
    told = await room.endpoint(receiver.url)
    await room.happens(times)
    await room.drain()
    return told.id
