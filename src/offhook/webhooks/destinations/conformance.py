"""What every destination keeps, as checks that its tests run: for each of CLAIMS, `await claim(stage)`.

A stage is the destination under test, a place where it can really bring something, and the eyes of whoever reads it
there. A claim raises AssertionError where it is not kept. What a destination does not say it can, is not asked of it.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from typing import NamedTuple, Protocol
from uuid import uuid4

import orjson

from offhook import ids
from offhook.db import Tenant
from offhook.outbound import Reach
from offhook.webhooks.credentials import Basic, Credentials, NoCredentials, headers_of
from offhook.webhooks.destinations.contract import Capability, Consignment, Destination, Item, Told
from offhook.webhooks.endpoint_settings import EndpointSettings
from offhook.webhooks.letter import Letter
from offhook.webhooks.rendering import USUAL_HEADERS, Rendered
from offhook.webhooks.schedule import Delivered, TryAgain

_QUITE_LONG_S = 20.0
_SHORT_S = 0.5


class Found(NamedTuple):
    """An event as it was found at the destination: its id, and the bytes, or what came of them."""

    event_id: str
    content: bytes


class Stage(Protocol):
    """One destination where it can be watched. Everything is its own, so that claims do not disturb each other."""

    destination: Destination
    url: str
    """Where it brings things."""
    nonsense: str
    """A URL of its kind that is wrong."""
    credentials: Credentials
    reach: Reach

    async def found(self) -> Sequence[Found]:
        """Everything that lies at `url`, as a reader finds it, and as often."""
        ...

    def away(self) -> AbstractAsyncContextManager[str]:
        """While it lasts, nothing can be brought to this URL: nobody is there, or what is there does not work."""
        ...

    def silent(self) -> AbstractAsyncContextManager[str]:
        """While it lasts, whatever is brought to this URL is neither taken nor refused."""
        ...


Claim = Callable[[Stage], Awaitable[None]]
"""Raises AssertionError where it is not kept."""


def a_consignment(
    stage: Stage, count: int = 1, *, timeout_s: float = _QUITE_LONG_S, url: str | None = None
) -> Consignment:
    """So many events that have never been, each with another id."""
    tenant, credentials = Tenant(ids.new(), "live"), stage.credentials
    items = [_an_item(tenant, n) for n in range(count)]
    body, webhook_id = items[0].rendered.body, items[0].event_id
    if count > 1:
        webhook_id = ids.show("bat", ids.new())
        body = b'{"object":"batch","events":[' + b",".join(item.rendered.body for item in items) + b"]}"
    proof = headers_of(credentials) if isinstance(credentials, NoCredentials | Basic) else {}
    signature = {"webhook-timestamp": "1795305600", "webhook-signature": "v1,c2lnbmF0dXJl"}
    letter = Letter(
        body,
        {**USUAL_HEADERS, "webhook-id": webhook_id, **signature, **proof},
        (),
        [item.rendered for item in items],
        None,
    )
    return Consignment(
        tenant,
        ids.new(),
        url or stage.url,
        webhook_id,
        letter,
        items,
        timeout_s,
        stage.reach,
        credentials=credentials,
    )


def _an_item(tenant: Tenant, n: int) -> Item:
    event = ids.new()
    shown = ids.show("evt", event)
    envelope = {
        "event_id": shown,
        "type": "lead.cadence_paused",
        "occurred_at": "2026-11-22T00:00:00.000Z",
        "recorded_at": "2026-11-22T00:00:00.000Z",
        "workspace_id": ids.show("ws", tenant.workspace),
        "environment": tenant.environment,
        "subject": {"type": "lead", "id": ids.show("lead", ids.new())},
        "sequence": n + 1,
        "kind": "fact",
        "data": {"reason": "api_key", "note": "ünïcode, \"quotes\" and 'these'; \u2028"},
        "test": False,
    }
    return Item(event, shown, uuid4(), "lead.cadence_paused", Rendered(USUAL_HEADERS, orjson.dumps(envelope)))


async def what_is_delivered_is_there(stage: Stage) -> None:
    sent = a_consignment(stage)
    told = await _send(stage, sent)
    _expect_delivered(told)
    assert [one.event_id for one in await stage.found()] == [sent.webhook_id], "it was told delivered and is not there"


async def a_batch_is_there_as_a_whole(stage: Stage) -> None:
    if Capability.BATCHES not in stage.destination.capabilities:
        return
    sent = a_consignment(stage, 7)
    _expect_delivered(await _send(stage, sent))
    there = {one.event_id for one in await stage.found()}
    assert there == {item.event_id for item in sent.items}, "the batch is not there as a whole"


async def a_repeated_consignment_does_no_harm(stage: Stage) -> None:
    """Whoever reads it can tell by its id and its bytes that it is the same; or never sees it twice."""
    sent = a_consignment(stage)
    for n in range(3):
        _expect_delivered(await _send(stage, replace(sent, n=n)))
    found = await stage.found()
    assert {one.event_id for one in found} == {sent.webhook_id}, "a repeated consignment has another id"
    assert len({one.content for one in found}) == 1, "a repeated consignment has other bytes"
    if Capability.ONCE in stage.destination.capabilities:
        assert len(found) == 1, "a repeated consignment is there more than once"


async def many_at_once_all_arrive(stage: Stage) -> None:
    sent = [a_consignment(stage) for _ in range(25)]
    for told in await asyncio.gather(*(_send(stage, one) for one in sent)):
        _expect_delivered(told)
    there = Counter(one.event_id for one in await stage.found())
    assert there == Counter(one.webhook_id for one in sent), "of many at once, not all are there once"


async def where_nobody_is_it_tries_again_and_says_why(stage: Stage) -> None:
    async with stage.away() as url:
        told = await _send(stage, a_consignment(stage, url=url))
    _expect_again(told)


async def a_failure_does_not_outlast_its_cause(stage: Stage) -> None:
    async with stage.away() as url:
        await _send(stage, a_consignment(stage, url=url))
    sent = a_consignment(stage)
    _expect_delivered(await _send(stage, sent))
    assert sent.webhook_id in {one.event_id for one in await stage.found()}


async def a_timeout_is_kept(stage: Stage) -> None:
    async with stage.silent() as url:
        told = await _send(stage, a_consignment(stage, url=url, timeout_s=_SHORT_S))
    _expect_again(told)


async def one_that_is_given_up_harms_no_other(stage: Stage) -> None:
    async with stage.silent() as url:
        given_up = asyncio.create_task(stage.destination.send(a_consignment(stage, url=url)))
        await asyncio.sleep(0)
        given_up.cancel()
        with suppress(asyncio.CancelledError):
            await given_up
    assert given_up.cancelled(), "it did not let itself be cancelled"
    _expect_delivered(await _send(stage, a_consignment(stage)))


async def no_secret_is_shown(stage: Stage) -> None:
    secrets = _secrets(stage.credentials)
    sent = a_consignment(stage)
    async with stage.away() as url:
        failed = await _send(stage, replace(sent, url=url))
    worked = await _send(stage, sent)
    stored = b"".join(one.content for one in await stage.found())
    for secret in secrets:
        for shown in (repr(stage.destination), repr(sent), repr(failed), repr(worked), failed.error_text or ""):
            assert secret not in shown, "a secret is shown"
        assert secret.encode() not in stored, "a secret is stored beside the event"


async def its_own_url_is_fine_and_nonsense_has_a_cure(stage: Stage) -> None:
    destination, settings = stage.destination, EndpointSettings()
    for url in (stage.url, stage.nonsense):
        assert url.partition("://")[0] in destination.kinds, "the URL is of another kind"
    assert destination.check(stage.url, settings, stage.credentials) is None, "its own URL is refused"
    fault = destination.check(stage.nonsense, settings, stage.credentials)
    if destination.kinds != {"http", "https"}:  # which are judged by a look-up of their name
        assert fault, "nonsense is taken for a URL"
        assert fault.param, "a fault says where"
        assert fault.code, "a fault has a code"
        assert fault.detail, "a fault says how to mend it"
    _expect_again(await _send(stage, a_consignment(stage, url=stage.nonsense)))


async def closing_it_twice_does_no_harm(stage: Stage) -> None:
    """Nor does it undo what was delivered. That nothing is left open then, a test sees by its own means."""
    sent = a_consignment(stage)
    _expect_delivered(await _send(stage, sent))
    try:
        await stage.destination.close()
        await stage.destination.close()
    except Exception as failure:
        raise AssertionError(f"closing it raised {type(failure).__name__}") from failure
    there = {one.event_id for one in await stage.found()}
    assert sent.webhook_id in there, "what was delivered is gone since it was closed"


CLAIMS: tuple[Claim, ...] = (
    what_is_delivered_is_there,
    a_batch_is_there_as_a_whole,
    a_repeated_consignment_does_no_harm,
    many_at_once_all_arrive,
    where_nobody_is_it_tries_again_and_says_why,
    a_failure_does_not_outlast_its_cause,
    a_timeout_is_kept,
    one_that_is_given_up_harms_no_other,
    no_secret_is_shown,
    its_own_url_is_fine_and_nonsense_has_a_cure,
    closing_it_twice_does_no_harm,
)


async def _send(stage: Stage, sent: Consignment) -> Told:
    try:
        async with asyncio.timeout(_QUITE_LONG_S + 5):
            told = await stage.destination.send(sent)
    except TimeoutError:
        raise AssertionError("it did not answer within its time-out") from None
    except Exception as failure:
        raise AssertionError(f"it raised {type(failure).__name__} instead of telling what happened") from failure
    assert len(told.timing_ms) == 5, "the timing has five parts: name, connection, TLS, first byte, total"
    assert told.timing_ms[-1] is not None, "the total was not measured"
    return told


def _expect_delivered(told: Told) -> None:
    assert isinstance(told.outcome, Delivered), f"it was not delivered: {told.error_code}"
    assert told.error_code is None, "a success has an error code"
    assert told.error_text is None, "a success has an error text"


def _expect_again(told: Told) -> None:
    assert isinstance(told.outcome, TryAgain), f"it is not tried again: {told.outcome}"
    assert told.error_code == told.outcome.why, "the code of a failure is not its outcome's"
    assert told.error_code, "a failure has no code"
    assert told.error_text, "a failure has no text"


def _secrets(credentials: Credentials) -> list[str]:
    if isinstance(credentials, Basic):
        return [credentials.password, headers_of(credentials)["authorization"].removeprefix("Basic ")]
    return []
