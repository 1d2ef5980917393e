"""One request to one endpoint: whether it may still be made, and what its answer comes to."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import monotonic, perf_counter
from typing import NamedTuple
from uuid import UUID

import orjson

from offhook import ids
from offhook.db import Database
from offhook.errors import Unavailable
from offhook.privacy import Vault
from offhook.webhooks import claim_store, letter
from offhook.webhooks.credentials import ClientCredentials
from offhook.webhooks.destinations.contract import Consignment, Item, Told
from offhook.webhooks.destinations.registry import Destinations
from offhook.webhooks.directory import Directory, Endpoint
from offhook.webhooks.letter import Letter
from offhook.webhooks.parcel import Again, Closed, Dead, Left, Outcome, Parcel, Result, Try
from offhook.webhooks.reach import Reaches
from offhook.webhooks.schedule import (
    Delivered,
    Progress,
    Refused,
    Spent,
    TryAgain,
    next_try,
)
from offhook.webhooks.tokens import NoToken, Token, Tokens

LONGEST_TIMEOUT_S = 30.0
_WRITING_S = 2.0
"""A lease must outlast the request and the writing of its result, or another process sends the same again."""

Owns = Callable[[UUID], bool]


class Carried(NamedTuple):
    """What came of a request: a result for each of its parcels; `asked` is how long the receiver asked to be left alone.

    `sent_at`, by `perf_counter`: when the request began; None when none was made.
    """

    results: Sequence[Result]
    asked: timedelta = timedelta()
    sent_at: float | None = None


class Post:
    """Carries parcels to their endpoints."""

    def __init__(
        self,
        database: Database,
        directory: Directory,
        vault: Vault,
        destinations: Destinations,
        reaches: Reaches,
        tokens: Tokens,
        owns: Owns,
    ) -> None:
        """`owns`: whether this process may send to an endpoint that only one may send to."""
        self._database = database
        self._directory = directory
        self._vault = vault
        self._destinations = destinations
        self._reaches = reaches
        self._tokens = tokens
        self._owns = owns
        self._dice = random.Random()  # noqa: S311  # jitter, not a secret

    async def carry(self, parcels: Sequence[Parcel]) -> Carried:
        """Send these in one request, unless their leases, their endpoint or their person forbid; what came of it.

        An endpoint whose access token is not to be had is as much out of reach as one that does not answer: that is a try,
        and its breaker counts it, lest every fresh delivery burn one.
        """
        first = parcels[0]
        book = self._directory.known(first.tenant)
        endpoint = book.endpoints.get(first.endpoint) if book else None
        try:
            if endpoint is None and (endpoint := await self._directory.endpoint(first.tenant, first.endpoint)) is None:
                return _unsent(parcels, Closed("endpoint_deleted"))
            if self._is_unfit(parcels, endpoint):
                return _unsent(parcels, Left())
            # Several that are not yet bound were taken together before their endpoint wanted no batches any more.
            batches = first.joins and (endpoint.settings.batch is not None or len(parcels) > 1)
            if not batches and not isinstance(endpoint.proofs.credentials, ClientCredentials):
                return await self._send(parcels, endpoint, None)
            return await self._prepared(parcels, endpoint, batches=batches)
        except Unavailable:  # the database, which says nothing about the endpoint
            return _unsent(parcels, Left())

    def _is_unfit(self, parcels: Sequence[Parcel], endpoint: Endpoint) -> bool:
        """Whether they may not be sent now."""
        lasts_s = min([parcel.ours_until for parcel in parcels]) - monotonic()
        is_over = lasts_s < endpoint.settings.timeout_s + _WRITING_S
        return is_over or not self._may_send(endpoint) or not endpoint.takes(test=parcels[0].test)

    def _may_send(self, endpoint: Endpoint) -> bool:
        return not endpoint.settings.needs_owner or self._owns(endpoint.id)

    async def _prepared(self, parcels: Sequence[Parcel], endpoint: Endpoint, *, batches: bool) -> Carried:
        """Bound first, for even a try without a token is a try of the whole batch."""
        lost: Sequence[Parcel] = []
        if batches:
            parcels, lost = await self._bound(parcels)
        token = await self._token(parcels[0], endpoint) if parcels else None
        # That may have taken seconds: the endpoint may be another by now, our lease at its end.
        if not parcels or not self._is_still(endpoint, parcels[0]) or self._is_unfit(parcels, endpoint):
            return _unsent([*parcels, *lost], Left())
        carried = await self._send(parcels, endpoint, token)
        return carried._replace(results=[*carried.results, *_unsent(lost, Left()).results])

    def _is_still(self, endpoint: Endpoint, parcel: Parcel) -> bool:
        book = self._directory.known(parcel.tenant)
        return book is not None and book.endpoints.get(endpoint.id) == endpoint

    async def _bound(self, parcels: Sequence[Parcel]) -> tuple[list[Parcel], list[Parcel]]:
        """A batch in the order of its events, which travels together or not at all; and what was no longer ours to bind."""
        batch, fence = ids.new(), max(parcel.fence for parcel in parcels) + 1
        async with self._database.engine_each() as tx:
            bound = await claim_store.bind(tx, batch, fence, parcels)
        in_order = sorted(parcels, key=lambda parcel: parcel.message.id)
        members = [replace(parcel, batch=batch, fence=fence) for parcel in in_order if parcel.delivery in bound]
        return members, [parcel for parcel in parcels if parcel.delivery not in bound]

    async def _send(self, parcels: Sequence[Parcel], endpoint: Endpoint, token: Token | NoToken | None) -> Carried:
        wall = datetime.now(UTC)
        if isinstance(token, NoToken):
            tried = [_not_sent(parcel, wall, token) for parcel in parcels]
            outcome = self._later(tried[0], endpoint, TryAgain(token.code))
            return Carried([Result(one.parcel, outcome, one) for one in tried])
        proof = token.headers if token else endpoint.proof
        erased = {p for parcel in parcels if (p := parcel.message.person) and self._vault.was_shredded(p)}
        said = letter.write(endpoint, parcels, wall, proof=proof, erased=erased)
        consignment, sent_at = self._consignment(parcels, endpoint, said), perf_counter()
        told = await self._destinations.of(endpoint.url).send(consignment)
        if token and told.status_code == 401:
            self._tokens.forget(endpoint.id, token)
        results, asked = self._judged(parcels, endpoint, said, told, wall, renewed=token is not None)
        return Carried(results, asked, sent_at)

    def _consignment(self, parcels: Sequence[Parcel], endpoint: Endpoint, said: Letter) -> Consignment:
        first = parcels[0]
        items = [
            Item(parcel.message.id, parcel.message.shown_id, parcel.delivery, parcel.message.type, one)
            for parcel, one in zip(parcels, said.said, strict=True)
        ]
        return Consignment(
            tenant=first.tenant,
            endpoint=endpoint.id,
            url=endpoint.url,
            webhook_id=said.headers["webhook-id"],
            letter=said,
            items=items,
            timeout_s=endpoint.settings.timeout_s,
            reach=self._reaches.of(first.tenant),
            n=first.tries,
            credentials=endpoint.proofs.credentials,
            identity=endpoint.proofs.identity,
            final=endpoint.final,
        )

    async def _token(self, parcel: Parcel, endpoint: Endpoint) -> Token | NoToken | None:
        """The endpoint's access token; None where it wants none."""
        credentials = endpoint.proofs.credentials
        if not isinstance(credentials, ClientCredentials):
            return None
        return await self._tokens.bearer(parcel.tenant, endpoint.id, credentials, self._reaches.of(parcel.tenant))

    def _judged(
        self,
        parcels: Sequence[Parcel],
        endpoint: Endpoint,
        said: Letter,
        told: Told,
        wall: datetime,
        *,
        renewed: bool,
    ) -> tuple[list[Result], timedelta]:
        """`renewed`: a 401 means that the token was over, and the next try bears another.

        The members of a batch share their history and so their outcome, one roll of the dice included: they stay together.
        """
        verdict = told.outcome
        request = orjson.dumps(said.shown) if said.shown is not None else None
        answered = told.response if _of_one(parcels) else None
        tried = [_tried(parcel, told, wall, said, request, answered) for parcel in parcels]
        if renewed and told.status_code == 401 and not parcels[0].tries_of_round and not parcels[0].test:
            outcome: Outcome = Again(datetime.now(UTC) + parcels[0].offset)
        else:
            outcome = self._outcome(tried[0], endpoint, verdict)
        results = [Result(one.parcel, outcome, one, told.disables) for one in tried]
        return results, verdict.retry_after if isinstance(verdict, TryAgain) else timedelta()

    def _outcome(self, tried: Try, endpoint: Endpoint, verdict: Delivered | TryAgain | Refused) -> Outcome:
        match verdict:
            case Delivered():
                return verdict
            case _ if tried.parcel.test:
                return Closed("test_failed")
            case Refused(why):
                return Dead(why)
            case again:
                return self._later(tried, endpoint, again)

    def _later(self, tried: Try, endpoint: Endpoint, again: TryAgain) -> Outcome:
        parcel = tried.parcel
        if parcel.test:
            return Closed("test_failed")
        now = datetime.now(UTC) + parcel.offset
        so_far = Progress(parcel.tries_of_round + 1, parcel.first_try_at or tried.at, now)
        due = next_try(so_far, self._dice, endpoint.schedule, again.retry_after)
        return Dead(due.reason) if isinstance(due, Spent) else Again(due)


def _unsent(parcels: Sequence[Parcel], outcome: Outcome) -> Carried:
    return Carried([Result(parcel, outcome) for parcel in parcels])


def _not_sent(parcel: Parcel, wall: datetime, why: NoToken) -> Try:
    """A try that ended before the receiver was asked: there was nothing to prove us with."""
    timing: tuple[float | None, ...] = (None, None, None, None, 0.0)
    return Try(parcel, wall + parcel.offset, wall, None, why.code, why.text, timing, False, None)


def _of_one(parcels: Sequence[Parcel]) -> bool:
    """Whether they speak of one person, or of nobody. What is answered to several may tell of each, and has no key to lie under."""
    return len(parcels) == 1 or len({parcel.message.person for parcel in parcels}) == 1


def _tried(
    parcel: Parcel, told: Told, wall: datetime, said: Letter, request: bytes | None, answered: bytes | None
) -> Try:
    buried = parcel.delivery in said.buried
    return Try(
        parcel=parcel,
        at=wall + parcel.offset,
        written_at=wall,
        status_code=told.status_code,
        error_code=told.error_code,
        error_text=told.error_text,
        timing_ms=told.timing_ms,
        tombstone=buried,
        # A receiver may answer with what it knows of the person, and there is no key left to seal that under.
        response=None if buried else answered,
        request=request,
        busy=told.busy,
    )
