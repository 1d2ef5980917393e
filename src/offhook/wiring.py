"""How the house is put together: what checks a lead, what each fact sets off, and who is handed to whom.

Read the two tables first: they are the behaviour of the house on one screen.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fastapi import FastAPI

from offhook import access, ids, routing, webhooks
from offhook.access import http as access_http
from offhook.app import build_app
from offhook.calls import Calls
from offhook.calls import http as calls_http
from offhook.compliance import RuleBook, packaged
from offhook.db import Database, Tenant, Tx, Wakeups, missing_migrations
from offhook.dialing import CadenceBooks, Cadences, Campaigns, Dispatcher, OneOffs, Verbs
from offhook.dialing import http as dialing_http
from offhook.dialing import set_up as set_up_campaign
from offhook.errors import CannotStart, Fault, Invalid
from offhook.events import Actor, Fact, Log
from offhook.events import http as events_http
from offhook.events.catalogue.calls import CallAnswered, CallEnded, CallOptOutDetected, CallQualificationThresholdMet
from offhook.events.catalogue.leads import (
    LeadAccepted,
    LeadConverted,
    LeadDncAdded,
    LeadErased,
    LeadOptedOut,
    LeadRejected,
)
from offhook.events.catalogue.webhooks import EndpointFact
from offhook.events.reactions import Entails, Reaction, Within
from offhook.events.stream import Streams, announce
from offhook.http import Door
from offhook.http import progress as progress_http
from offhook.http import receipts as receipts_http
from offhook.http.idempotency import purge_idempotency
from offhook.http.resources import resource_router
from offhook.jobs import Inside, Job, Outside, Runner
from offhook.jobs.outcome import Outcome
from offhook.leads import Erasures, Imports, Lead, Leads, People, preflight
from offhook.leads import http as leads_http
from offhook.log import get, place_of
from offhook.outbound import Outbound
from offhook.privacy import KeyRing, Vault
from offhook.providers import ProviderAccounts, Providers
from offhook.providers import http as providers_http
from offhook.routing.record import decisions
from offhook.routing.targets import Targets
from offhook.routing.targets import set_up as set_up_target
from offhook.sandbox import http as sandbox_http
from offhook.sandbox.clock import VirtualClock
from offhook.sandbox.inbox import Inbox
from offhook.sandbox.platform import PretendWorld
from offhook.settings import Settings
from offhook.sync import OptOuts, PostBacks, purge_postbacks
from offhook.sync import http as sync_http
from offhook.upkeep import Upkeep


def checks(rules: RuleBook) -> Sequence[preflight.Check]:
    """The pre-flight matrix, in order. Every check is asked; all failing codes are told at once."""
    return (
        preflight.number_class,
        preflight.duplicate_phone,
        preflight.suppression,
        preflight.consent,
        preflight.zone,
        preflight.window(rules),
        preflight.campaign,
    )


def reactions(house: "House") -> Sequence[Reaction]:
    """What each fact entails, and who is told of it within the transaction that writes it."""
    return (
        Entails(LeadAccepted, house.cadences.plan),  # an accepted lead has its first attempt planned
        Entails(CallAnswered, house.cadences.answered),
        Entails(CallQualificationThresholdMet, house.cadences.qualified),
        Entails(CallOptOutDetected, house.opt_outs.heard),  # "stop" in a call suppresses everywhere, at once
        Entails(CallEnded, routing.call_ended),  # the human it may have needed is free again
        Entails(CallEnded, house.cadences.resolved),  # an ended call plans the next attempt, or none
        Entails(LeadConverted, house.cadences.stop),  # a converted lead is never dialed again, not even 10 ms later
        Entails(LeadOptedOut, house.cadences.stop),
        Entails(LeadDncAdded, house.cadences.stop),
        Entails(LeadErased, house.cadences.stop),
        Entails(EndpointFact, webhooks.notice),  # an endpoint's trouble is told when it begins, to whoever is on call
        Within(Fact, house.webhooks.fan_out, tells=True),  # every endpoint that listens is told, or nothing happened
        Within(Fact, announce(house.wakeups), tells=True),  # open streams look as soon as it is durable
        Within(LeadAccepted, house.post_backs.lead_came),  # what the CRM said before its lead came is applied now
        Within(LeadRejected, house.post_backs.lead_came),  # also its "stop" about a number that another lead has
    )


@dataclass(frozen=True, slots=True)
class Credentials:
    """The keys of a new workspace, shown this once."""

    workspace_id: str
    live_key: str
    test_key: str


class House:
    """Everything of one process, built and not yet started."""

    def __init__(self, settings: Settings, url: str, ring: KeyRing, *, engine: bool) -> None:
        self.settings = settings
        self.url = url
        self.engine = engine
        self.database = Database(url, pool_size=settings.pool_size)
        self.wakeups = Wakeups(url)
        self.vault = Vault(ring, self.wakeups)
        self.log = Log(self.vault)
        self.streams = Streams(self.database, self.vault, self.wakeups)
        self.door = Door(self.database, self.vault)
        self.outbound = Outbound()
        self.rules = packaged()
        self._build_rooms()
        self.log.react(reactions(self))
        self.runner = Runner(self.database, self.wakeups, self._handlers())
        self.clock = VirtualClock(self.database, [self.runner, self.dispatcher, self.webhooks.sender])
        purges = [
            purge_idempotency,
            self.calls.forget_reports,
            purge_postbacks,
            self.webhooks.purge_figures,
            self.webhooks.purge_incidents,
        ]
        self.upkeep = Upkeep(self.database, purges, [self.imports.forget_abandoned])
        self._loops: list[asyncio.Task[None]] = []
        self.authenticator = access.Authenticator(self.database, self.wakeups)
        self.app = self._build_app()

    @classmethod
    def build(cls, settings: Settings, url: str, *, engine: bool, create_ring: bool = False) -> "House":
        """The house over this database. `engine`: this process runs the loops. Raises CannotStart without a key ring."""
        return cls(settings, url, KeyRing.open(settings.key_ring_file, create=create_ring), engine=engine)

    def _build_rooms(self) -> None:
        self.people = People(self.vault)
        self.webhooks = webhooks.Webhooks(
            self.settings, self.database, self.vault, self.log, self.wakeups, self.outbound, sending=self.engine
        )
        self.pretend = PretendWorld(self.database, self.wakeups, self.outbound, self.webhooks.reach_of)
        base = self.settings.public_url or f"http://{self.settings.host}:{self.settings.port}"
        self.providers = Providers(self.vault, self.wakeups, [self.pretend.platform], base)
        self.calls = Calls(self.database, self.vault, self.log, self.providers, self.wakeups, routing)
        self.pretend.report_to(self.calls.report_all)
        self.cadences = Cadences(self.people, self.rules, self.wakeups)
        self.dispatcher = Dispatcher(self.database, self.log, self.people, self.calls, self.rules, self.wakeups)
        self.verbs = Verbs(self.log, self.people, self.rules, self.dispatcher, self.wakeups)
        self.campaigns = Campaigns(self.log, self.people, self.wakeups)
        self.leads = Leads(self.vault, self.log, checks(self.rules), self.campaigns.behind)
        self.one_offs = OneOffs(self.leads, self.people, self.verbs, self._show_call)
        self.imports = Imports(self.database, self.vault, self.leads)
        self.erasures = Erasures(
            self.vault, self.log, hang_up=self._hang_up, unfinished=self._unfinished, call_off=self.verbs.call_off
        )
        self.opt_outs = OptOuts(
            self.vault, self.log, self.people, cut_calls=self._cut_calls, number_of_call=self._number_of_call
        )
        self.post_backs = PostBacks(
            self.vault,
            self.log,
            self.people,
            self.opt_outs,
            reconnect=self.verbs.reconnect,
            lead_of_call=self._lead_of_call,
            set_disposition=self._set_disposition,
        )

    def _handlers(self) -> dict[str, Inside | Outside]:
        return {
            **self.imports.handlers,
            **self.erasures.handlers,
            sandbox_http.ADVANCE: Outside(self._advance_on),
            **self.calls.handlers,
            **self.pretend.handlers,
            **self.webhooks.handlers,
        }

    def _build_app(self) -> FastAPI:
        door = self.door
        targets, accounts = Targets(self.wakeups), ProviderAccounts(self.providers)
        routers = [
            leads_http.router(door, self.database, self.leads, self.people, self.imports, self.erasures),
            dialing_http.router(door, self.campaigns, self.verbs, self.people, self.rules, self._told_of),
            *(resource_router(door, one) for one in (self.campaigns, CadenceBooks(), targets, accounts)),
            calls_http.router(door, self.calls, self.one_offs.dial, events=self._told_of_call, decisions=decisions),
            providers_http.router(door, self.database, self.providers, self.calls, self.one_offs.dial),
            sync_http.router(door, self.post_backs, self.opt_outs),
            self.webhooks.router(door),
            events_http.router(door, self.vault, self.streams, self.webhooks.hearing_of),
            access_http.router(door, self.authenticator),
            progress_http.router(door),
            receipts_http.router(door, self.vault),
            sandbox_http.router(
                door, self.database, self.clock, self.leads, self.log, Inbox(self.vault), self.webhooks.signed_by_us
            ),
        ]
        return build_app(self.settings, self.authenticator, self.database, routers, self.ready)

    async def _told_of(self, tx: Tx, subjects: Sequence[UUID]) -> list[Any]:
        return await events_http.told_of(tx, self.vault, subjects)

    async def _told_of_call(self, tx: Tx, call_id: UUID) -> list[Any]:
        return await events_http.told_of(tx, self.vault, [call_id])

    async def start(self) -> None:
        """Open the pools and, in an engine, start the loops. Raises Unavailable, or CannotStart when migrations lack."""
        if missing := await asyncio.to_thread(missing_migrations, self.url):
            raise CannotStart("migrations_behind", f"The database lacks {', '.join(missing)}. Mend: offhook migrate")
        await self.database.open()
        await self.wakeups.start()
        await self.upkeep.prepare()
        self.log.epoch = await self.upkeep.epoch()
        if self.engine:
            loops: list[Callable[[], Awaitable[None]]] = [
                self.runner.run,
                self.dispatcher.run,
                self.webhooks.sender.run,
                self.webhooks.lateness.run,
                self.webhooks.backlog.run,
                self.webhooks.discards.run,
                self.upkeep.run,
            ]
            self._loops = [asyncio.ensure_future(_told(loop)) for loop in loops]

    async def stop(self) -> None:
        """Take no new work, let what is at a platform or an endpoint be settled, close the pools."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self.dispatcher.close()
        await self.calls.close()
        await self.webhooks.close()
        await self.wakeups.stop()
        await self.database.close()
        await self.outbound.close()

    async def ready(self) -> dict[str, str]:
        """Per part `ok`, or what is wrong."""
        parts = {"database": "ok" if await self.database.alive() else "away"}
        for loop in self._loops:
            if loop.done():
                parts["loops"] = "a loop has ended; restart the process"
        return parts

    async def first_workspace(self, name: str) -> Credentials | None:
        """Make the first workspace, fit to run: sandbox with a running campaign, live with a draft. None when one exists."""
        async with self.database.engine() as tx:
            if await access.any_workspace(tx):
                return None
        return await self.new_workspace(name)

    async def new_workspace(self, name: str) -> Credentials:
        """A workspace with both environments, set up, and a key of full scope for each."""
        live = Tenant(ids.new(), "live")
        async with self.database.transaction(live) as tx:
            await access.create_workspace(tx, name)
            await set_up_campaign(tx, None)
            live_key = await access.issue_key(tx, "First key", ["*"])
            async with tx.in_environment("sandbox") as sandbox:
                await set_up_target(sandbox)
                account = await self.providers.add(sandbox, "sandbox", "Pretend platform", is_default=True)
                await set_up_campaign(sandbox, account)
                test_key = await access.issue_key(sandbox, "First key", ["*"])
        return Credentials(ids.show("ws", live.workspace), live_key.shown, test_key.shown)

    async def _advance_on(self, job: Job) -> Outcome:
        return await sandbox_http.Advances(self.database, self.clock).run(job)

    async def _hang_up(self, tx: Tx, lead_id: UUID) -> bool:
        await self.calls.stop(tx, "erased", lead_id=lead_id)
        return bool(await self.calls.open_calls(tx, lead_id))

    async def _unfinished(self, tx: Tx, lead_id: UUID) -> bool:
        if await self.calls.open_calls(tx, lead_id):
            return True
        calls = await self.calls.page(tx, lead_id=lead_id, before=None, limit=1000)
        return await self.webhooks.deliveries.any_open(tx, [lead_id, *(call.id for call in calls)])

    async def _cut_calls(self, tx: Tx, number_tag: bytes, reason: str) -> list[UUID]:
        return await self.calls.stop(tx, "opt_out", number_tag=number_tag)

    async def _show_call(self, tx: Tx, call_id: UUID) -> dict[str, Any]:
        return await self.calls.shown(tx, call_id, personal=False)

    async def _set_disposition(self, tx: Tx, lead: Lead, data: dict[str, Any], by: Actor) -> bool:
        latest = await self.calls.page(tx, lead_id=lead.id, before=None, limit=1)
        code = data.get("code")
        if not isinstance(code, str) or not code:
            raise Invalid([Fault("data.code", "missing", "Send the disposition's code in data.code.")])
        if latest:
            await self.calls.set_disposition(tx, latest[0].id, code, by)
        return bool(latest)

    async def _lead_of_call(self, tx: Tx, call_id: UUID) -> UUID | None:
        return (await self.calls.find(tx, call_id)).about.lead_id

    async def _number_of_call(self, tx: Tx, call_id: UUID) -> bytes:
        return (await self.calls.find(tx, call_id)).about.number_tag


async def _told(loop: Callable[[], Awaitable[None]]) -> None:
    """The loop; when it fails, the log says where, and /readyz that this process must be restarted."""
    try:
        await loop()
    except Exception as failure:
        get("wiring").error("loop_failed", error=type(failure).__name__, at=place_of(failure))
        raise
