"""One request to one endpoint: whether it may still be made, what it says, and what its answer comes to."""

import random
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from offhook import ids
from offhook.events.tombstone import tombstone
from offhook.outbound import Answer, NoAnswer, Outbound
from offhook.privacy import Vault
from offhook.webhooks import response
from offhook.webhooks.directory import Directory, Endpoint
from offhook.webhooks.parcel import Again, Closed, Dead, Kept, Left, Outcome, Parcel, Result, Try
from offhook.webhooks.reach import Reaches
from offhook.webhooks.schedule import Delivered, Progress, Refused, Spent, judge, next_try

TIMEOUT_S = 10.0
_MARGIN = timedelta(seconds=TIMEOUT_S + 2)
"""A lease must outlast the request and the writing of its result, or another process sends the same again."""
_TIMED_EVERY = 100
USER_AGENT = "Offhook"


class Post:
    """Carries parcels to their endpoints."""

    def __init__(self, directory: Directory, vault: Vault, outbound: Outbound, reaches: Reaches) -> None:
        self._directory = directory
        self._vault = vault
        self._outbound = outbound
        self._reaches = reaches
        self._dice = random.Random()  # noqa: S311  # jitter, not a secret
        self._count = 0

    async def carry(self, parcel: Parcel) -> Result:
        """Send it, unless its lease, its endpoint or its person forbid; what came of it."""
        book = self._directory.known(parcel.tenant) or await self._directory.latest(parcel.tenant)
        endpoint = book.endpoints.get(parcel.endpoint)
        wall = datetime.now(UTC)
        if parcel.leased_until - wall < _MARGIN:
            return Result(parcel, Left())
        if endpoint is None:
            return Result(parcel, Closed("endpoint_deleted"))
        if not (endpoint.sendable or parcel.is_test):
            return Result(parcel, Kept())
        return await self._send(parcel, endpoint, wall)

    async def _send(self, parcel: Parcel, endpoint: Endpoint, wall: datetime) -> Result:
        message = parcel.message
        body = message.body
        if message.person is not None and self._vault.was_shredded(message.person):
            body = None
        buried = body is None
        if body is None:
            body = _tombstone(parcel)
        timestamp = int(wall.timestamp())
        heading = Heading(message.shown_id, timestamp, parcel.delivery, parcel.tries, parcel.replay, buried)
        answer = await self._outbound.post(
            endpoint.url,
            body,
            heading.headers(endpoint.signer.sign(message.shown_id, timestamp, body)),
            timeout_s=TIMEOUT_S,
            reach=self._reaches.of(parcel.tenant),
            timed=self._is_timed(parcel),
        )
        tried = _tried(parcel, answer, wall, tombstone=buried)
        return Result(parcel, self._outcome(tried, answer), tried)

    def _is_timed(self, parcel: Parcel) -> bool:
        """Whether the time is split: of every retry, where somebody will ask why, and of a sample of the rest."""
        self._count += 1
        return parcel.tries > 0 or parcel.is_test or self._count % _TIMED_EVERY == 0

    def _outcome(self, tried: Try, answer: Answer | NoAnswer) -> Outcome:
        parcel = tried.parcel
        now = datetime.now(UTC)
        match judge(answer, now):
            case Delivered() as delivered:
                return delivered
            case _ if parcel.is_test:
                return Closed("test_failed")
            case Refused(why, disables):
                return Dead(why, disables)
            case again:
                so_far = Progress(parcel.tries_of_round + 1, parcel.first_try_at or tried.at, now + parcel.offset)
                due = next_try(so_far, self._dice, retry_after=again.retry_after)
                return Dead(due.reason) if isinstance(due, Spent) else Again(due)


class Heading(NamedTuple):
    """What a try's headers tell, but for the signature."""

    webhook_id: str
    timestamp: int
    delivery: UUID
    n: int
    replay: bool
    tombstone: bool

    def headers(self, signature: str) -> dict[str, str]:
        """Every header that is ours."""
        headers = {
            "content-type": "application/json",
            "user-agent": USER_AGENT,
            "webhook-id": self.webhook_id,
            "webhook-timestamp": str(self.timestamp),
            "webhook-signature": signature,
            "offhook-delivery-id": ids.show("dlv", self.delivery),
            "offhook-try": str(self.n),
        }
        if self.replay:
            headers["offhook-replay"] = "1"
        if self.tombstone:
            headers["offhook-tombstone"] = "1"
        return headers


def _tombstone(parcel: Parcel) -> bytes:
    message = parcel.message
    return tombstone(
        message.id,
        message.type,
        message.subject_type,
        message.subject_shown_id,
        message.sequence,
        message.occurred_at,
        parcel.tenant,
    )


def _tried(parcel: Parcel, answer: Answer | NoAnswer, wall: datetime, *, tombstone: bool) -> Try:
    answered = None if isinstance(answer, NoAnswer) else answer
    code, text = _error(answer)
    return Try(
        parcel=parcel,
        at=wall + parcel.offset,
        written_at=wall,
        status_code=answered.status if answered else None,
        error_code=code,
        error_text=text,
        timing_ms=answer.timing_ms,
        tombstone=tombstone,
        # A receiver may answer with what it knows of the person, and there is no key left to seal that under.
        response=response.pack(answered) if answered and not tombstone else None,
    )


def _error(answer: Answer | NoAnswer) -> tuple[str | None, str | None]:
    if isinstance(answer, NoAnswer):
        return answer.code, answer.text
    if 200 <= answer.status < 300:
        return None, None
    if 300 <= answer.status < 400:
        return f"http_{answer.status}", "the receiver redirects; redirects are not followed, so give its final URL"
    if answer.status == 410:
        return "http_410", "the receiver is gone for good (410), so the endpoint was disabled"
    return f"http_{answer.status}", f"the receiver answered {answer.status}, which is no success"
