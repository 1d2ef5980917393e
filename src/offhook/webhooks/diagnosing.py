"""`/v1/webhook-endpoints/{id}/diagnose`: what stands between us and a receiver, found out by a real signed test.

The test is written and signed as the sender would, by an event that is undone before anything is sent: nothing of it is
kept, and there is no delivery. Whoever may diagnose can make this server connect, so it is done seldom: by one process
once at a time and ten times a minute for an endpoint.
"""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any, NamedTuple
from uuid import UUID

from offhook import clock, ids
from offhook.db import Database, Tenant
from offhook.errors import Conflict, NotFound, TooMany
from offhook.events import Actor, Event, Log
from offhook.events.catalogue.webhooks import WebhookTest
from offhook.outbound import Outbound, Request
from offhook.outbound.diagnose import Certificate, Diagnosis, Finding, diagnose
from offhook.privacy import Vault
from offhook.webhooks import letter
from offhook.webhooks.credentials import ClientCredentials
from offhook.webhooks.destinations.registry import Destinations
from offhook.webhooks.directory import Directory, Endpoint
from offhook.webhooks.letter import Letter
from offhook.webhooks.messages import Messages
from offhook.webhooks.parcel import Parcel
from offhook.webhooks.reach import Reaches
from offhook.webhooks.tokens import NoToken, Tokens

WITHIN_S = 30.0
PER_MINUTE = 10
_ANSWERED_IN_S = 14.0
_KEPT = 1000
_TOO_LONG = Finding(
    "took_too_long",
    f"The diagnosis was broken off after {WITHIN_S:.0f} s.",
    "Look at the receiver's DNS, firewall and load.",
)
_NOT_HTTP = (
    "Only what is told by HTTP is diagnosed. Send a test with POST /v1/webhook-endpoints/{id}/test:"
    " its delivery says whether it arrived, and if not, why."
)


class Turns:
    """Who may be diagnosed now: once at a time, and so often a minute. In memory of this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._under_way: set[UUID] = set()
        self._begun: OrderedDict[UUID, deque[float]] = OrderedDict()

    @contextmanager
    def taken(self, endpoint: UUID) -> Iterator[None]:
        """Take the turn. Raises TooMany saying when to come again."""
        if endpoint in self._under_way:
            raise TooMany(
                "diagnosis_under_way",
                "It is being diagnosed already; wait for that answer.",
                retry_after_s=ceil(WITHIN_S),
            )
        self._begin(endpoint)
        self._under_way.add(endpoint)
        try:
            yield
        finally:
            self._under_way.discard(endpoint)

    def _begin(self, endpoint: UUID) -> None:
        now = self._clock()
        begun = self._begun.setdefault(endpoint, deque(maxlen=PER_MINUTE))
        self._begun.move_to_end(endpoint)
        if len(begun) == PER_MINUTE and (wait := begun[0] + 60 - now) > 0:
            detail = f"An endpoint is diagnosed {PER_MINUTE} times a minute at most."
            raise TooMany("diagnosed_too_often", detail, retry_after_s=ceil(wait))
        begun.append(now)
        if len(self._begun) > _KEPT:
            self._begun.popitem(last=False)


class Ways(NamedTuple):
    """What the sender sends by."""

    outbound: Outbound
    reaches: Reaches
    tokens: Tokens
    destinations: Destinations


class Diagnosing:
    """Diagnoses the endpoints of a tenant, outside any transaction but short ones before."""

    def __init__(self, database: Database, vault: Vault, log: Log, directory: Directory, ways: Ways) -> None:
        self._database = database
        self._vault = vault
        self._log = log
        self._directory = directory
        self._ways = ways
        self._turns = Turns()

    async def diagnose(self, tenant: Tenant, id: UUID, actor: Actor) -> Diagnosis:
        """Find out whether a message arrives there, in `WITHIN_S` at most.

        Raises NotFound, Conflict for an endpoint that is told by something else than HTTP, or TooMany.
        """
        with self._turns.taken(id):
            endpoint = (await self._directory.latest(tenant)).endpoints.get(id)
            if endpoint is None:
                raise NotFound("no_such_endpoint", "There is no webhook endpoint with this id.", param="id")
            if not self._ways.destinations.is_http(endpoint.url):
                raise Conflict("not_http", _NOT_HTTP)
            event = await self._undone(tenant, id, actor)
            begun = datetime.now(UTC)
            try:
                async with asyncio.timeout(WITHIN_S):
                    return await self._examined(tenant, endpoint, event)
            except TimeoutError:
                return Diagnosis(begun, findings=[_TOO_LONG])

    async def _undone(self, tenant: Tenant, endpoint: UUID, actor: Actor) -> Event:
        """A test as it would be told, of which nothing is kept: its bytes are what we want."""
        fact = WebhookTest(subject_id=endpoint, only_for=endpoint, test=True, actor=actor)
        try:
            async with self._database.transaction(tenant) as tx:
                raise _Undone((await self._log.append(tx, [fact]))[0])
        except _Undone as undone:
            return undone.event

    async def _examined(self, tenant: Tenant, endpoint: Endpoint, event: Event) -> Diagnosis:
        outbound, reaches, tokens, _ = self._ways
        reach, proof = reaches.of(tenant), endpoint.proof
        if isinstance(credentials := endpoint.proofs.credentials, ClientCredentials):
            token = await tokens.bearer(tenant, endpoint.id, credentials, reach)
            if isinstance(token, NoToken):
                return Diagnosis(datetime.now(UTC), findings=[_of_no_token(token)])
            proof = token.headers
        said = self._letter(tenant, endpoint, event, proof)
        within_s = min(endpoint.settings.timeout_s, _ANSWERED_IN_S)
        request = Request("POST", endpoint.url, said.body, said.headers, within_s)
        return await diagnose(outbound, request, reach, identity=endpoint.proofs.identity)

    def _letter(self, tenant: Tenant, endpoint: Endpoint, event: Event, proof: Mapping[str, str]) -> Letter:
        wall = datetime.now(UTC)
        message = Messages(event, lambda value: self._vault.tag(tenant, "mask", value).hex()[:32]).for_(endpoint)
        delivery = ids.delivery_of(event.id, endpoint.id)
        parcel = Parcel(tenant, delivery, endpoint.id, message, timedelta(), 0.0, test=True)
        return letter.write(endpoint, [parcel], wall, proof=proof, erased=())


class _Undone(Exception):
    def __init__(self, event: Event) -> None:
        super().__init__()
        self.event = event


def _of_no_token(token: NoToken) -> Finding:
    detail = f"{token.text[0].upper()}{token.text[1:]}."
    return Finding(
        token.code, detail, "Look at the endpoint's client credentials, and at the server of their token URL."
    )


def shown(endpoint: UUID, found: Diagnosis) -> dict[str, Any]:
    """The diagnosis as the API shows it. A step that was not come to is null."""
    return {
        "object": "webhook_endpoint_diagnosis",
        "webhook_endpoint_id": ids.show("whe", endpoint),
        "at": clock.show(found.at),
        "well": not found.findings,
        "steps": {"dns": _dns(found), "tcp": _tcp(found), "tls": _tls(found), "http": _http(found)},
        "clock_skew": found.skew
        and {"ahead_s": round(found.skew.ahead_s, 3), "within_s": round(found.skew.within_s, 3)},
        "findings": [{"code": one.code, "detail": one.detail, "cure": one.cure} for one in found.findings],
    }


def _dns(found: Diagnosis) -> dict[str, Any] | None:
    if (name := found.name) is None:
        return None
    return {"host": name.host, "ms": round(name.ms, 3), "addresses": [one.address for one in name.addresses]}


def _tcp(found: Diagnosis) -> dict[str, Any] | None:
    if found.name is None:
        return None
    tried = [
        {"address": one.address, "refused": one.refused, "failed": one.lost, "ms": clock.show_ms(one.connect_ms)}
        for one in found.name.addresses
    ]
    used = next((one["ms"] for one in tried if one["address"] == found.address), None)
    return {"address": found.address, "ms": used, "addresses": tried}


def _tls(found: Diagnosis) -> dict[str, Any] | None:
    if (tls := found.tls) is None:
        return None
    head = {"verified": tls.verified, "ms": round(tls.ms, 3), "version": tls.version, "cipher": tls.cipher}
    return {**head, "chain": [_certificate(one, found.at) for one in tls.chain]}


def _certificate(one: Certificate, at: datetime) -> dict[str, Any]:
    return {
        "subject": one.subject,
        "issuer": one.issuer,
        "not_before": clock.show(one.not_before),
        "not_after": clock.show(one.not_after),
        "days_left": (one.not_after - at).days,
        "names": list(one.names),
    }


def _http(found: Diagnosis) -> dict[str, Any] | None:
    if (http := found.http) is None:
        return None
    head = {"status": http.status, "version": http.version, "first_byte_ms": round(http.first_byte_ms, 3)}
    return {**head, "ms": round(http.total_ms, 3), "headers": dict(http.headers)}
