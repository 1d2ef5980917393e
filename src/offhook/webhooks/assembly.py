"""The room put together, for wiring."""

from collections.abc import Mapping

from fastapi import APIRouter

from offhook.db import Database, EngineTx, Tx, Wakeups
from offhook.events import Log
from offhook.events.hearing import Hearing
from offhook.http import Door
from offhook.http.resources import Ref, resource_router
from offhook.jobs import Inside, Outside
from offhook.outbound import Outbound
from offhook.outbound.mail import MailServer
from offhook.privacy import Vault
from offhook.settings import Settings
from offhook.webhooks import aggregates_store, counts, deliveries_http, http, incidents, replays, replays_http
from offhook.webhooks.aggregates import Aggregates
from offhook.webhooks.alerting import Alerting
from offhook.webhooks.alerts import Alerts
from offhook.webhooks.backlog import Backlog
from offhook.webhooks.claims import Claims
from offhook.webhooks.deliveries import Deliveries
from offhook.webhooks.destinations.contract import Parts
from offhook.webhooks.destinations.registry import Destinations
from offhook.webhooks.diagnosing import Diagnosing, Ways
from offhook.webhooks.diagnosing_http import diagnosing_router
from offhook.webhooks.directory import Directory
from offhook.webhooks.discards import Discards
from offhook.webhooks.egress_http import egress_router
from offhook.webhooks.endings import Endings
from offhook.webhooks.endpoints import Endpoints
from offhook.webhooks.fan_out import FanOut
from offhook.webhooks.issues_http import issue_router
from offhook.webhooks.lateness import Lateness
from offhook.webhooks.owners import Owners
from offhook.webhooks.post import Post
from offhook.webhooks.reach import Judge, Reaches
from offhook.webhooks.recorder import Recorder
from offhook.webhooks.replay_missing import Missing
from offhook.webhooks.replay_pages import Pages
from offhook.webhooks.replays import Replays
from offhook.webhooks.sender import Sender
from offhook.webhooks.signing import Genuine
from offhook.webhooks.telemetry import Telemetry
from offhook.webhooks.tokens import Tokens


class Webhooks:
    """Everything of this room in one process. `fan_out` reacts to every fact, `sender.run` is its loop."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        vault: Vault,
        log: Log,
        wakeups: Wakeups,
        outbound: Outbound,
        *,
        sending: bool,
    ) -> None:
        """`sending`: this process runs the sender, so events born here go to it straight from memory."""
        reaches = Reaches.of_settings(settings)
        self.directory = Directory(database, vault, wakeups)
        recorder = Recorder(database, vault, Endings(vault, log, self.directory))
        self.aggregates = Aggregates(database)
        self._telemetry = Telemetry.of(settings.otlp_endpoint)
        recorder.observed = (
            self._telemetry.beside(self.aggregates.observe) if self._telemetry else self.aggregates.observe
        )
        self.backlog = Backlog(database)
        owners, self._tokens = Owners(database), Tokens(outbound)
        self._destinations = Destinations(Parts(outbound, settings))
        post = Post(database, self.directory, vault, self._destinations, reaches, self._tokens, owners.owns)
        claims, self.discards = Claims(database, vault), Discards(database)
        self.sender = Sender(
            wakeups,
            self.directory,
            owners,
            claims,
            self.discards,
            post,
            recorder,
            in_flight=settings.webhook_in_flight,
        )
        counts.in_flight.set_function(lambda: self.sender.in_flight)
        counts.in_memory.set_function(lambda: self.sender.held)
        self.fan_out = FanOut(self.directory, vault, wakeups, self.sender if sending else None)
        self.endpoints = Endpoints(vault, log, self.directory, self._destinations)
        self.deliveries = Deliveries(vault, log, wakeups)
        mail = MailServer.parse(settings.smtp_url, settings.smtp_from) if settings.smtp_url else None
        self._alerts = Alerts(vault, self.endpoints, has_mail=mail is not None)
        self._alerting = Alerting(database, vault, log, outbound, reaches, mail)
        self.lateness = Lateness(database, log)
        missing = Missing(vault, self.directory)
        self.replays = Replays(self.deliveries, missing, wakeups)
        self._pages = Pages(database, self.deliveries, missing, wakeups)
        ways = Ways(outbound, reaches, self._tokens, self._destinations)
        self.diagnosing = Diagnosing(database, vault, log, self.directory, ways)
        self.reach_of = reaches.of
        self._judge = Judge(outbound, reaches, self._destinations.is_http)
        self._egress = settings.egress_addresses
        self._sending = sending

    @property
    def handlers(self) -> Mapping[str, Inside | Outside]:
        """The room's jobs."""
        return {replays.KIND: Outside(self._pages.run), **self._alerting.handlers}

    def router(self, door: Door) -> APIRouter:
        """Every path of the room."""
        api = APIRouter()
        api.include_router(
            http.endpoint_router(door, self.endpoints, self._judge, self.sender.watch if self._sending else None)
        )
        api.include_router(deliveries_http.delivery_router(door, self.deliveries, self.endpoints))
        api.include_router(diagnosing_router(door, self.endpoints, self.diagnosing))
        api.include_router(issue_router(door, self.endpoints, self.replays.start_of_cause))
        api.include_router(egress_router(self._egress))
        api.include_router(resource_router(door, self._alerts))
        api.include_router(replays_http.replay_router(door, self.replays, self.endpoints))
        return api

    async def purge_figures(self, tx: EngineTx) -> int:
        """Forget some figures that nobody may ask for any more; how many rows that was, 0 when none is left."""
        return await aggregates_store.purge(tx)

    async def purge_incidents(self, tx: EngineTx) -> int:
        """Forget the troubles that have long been over; how many that was, 0 when none is left."""
        return await incidents.purge(tx)

    async def close(self) -> None:
        """Write what is only in memory, and end the requests for tokens. To be called when the sender has stopped."""
        await self._tokens.close()
        await self._destinations.close()
        await self.aggregates.close()
        if self._telemetry:
            await self._telemetry.close()

    async def signed_by_us(self, tx: Tx, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether one of the tenant's endpoints signed this message within the last minutes."""
        book = await self.directory.book(tx)
        parts = [headers.get(name, "") for name in ("webhook-id", "webhook-timestamp", "webhook-signature")]
        return any(
            isinstance(one.signer_at(tx.wall).verify(parts[0], parts[1], parts[2], body, tx.wall), Genuine)
            for one in book.endpoints.values()
        )

    async def hearing_of(self, tx: Tx, ref: Ref) -> Hearing:
        """What an endpoint listens to, as it is set now. Raises NotFound."""
        return await self.endpoints.hearing_of(tx, ref)
