"""Webhooks by HTTP, as one destination among others."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import orjson
import pytest
from tests.webhooks.conftest import Received, Receiver, Says
from tests.webhooks.destinations.stages import SECRET, Stage, a_port_of_nobody, fault_found, name_of, parts

from offhook.outbound import Outbound
from offhook.webhooks.credentials import Credentials
from offhook.webhooks.destinations import http
from offhook.webhooks.destinations.conformance import CLAIMS, Claim, Found, a_consignment
from offhook.webhooks.schedule import Delivered, Refused, TryAgain


class HttpStage(Stage):
    nonsense = "https://user@[not-a-host]/hook"
    credentials: Credentials = SECRET

    def __init__(self, outbound: Outbound, receiver: Receiver) -> None:
        super().__init__(http.opened(parts(outbound)), receiver.url)
        self.receiver = receiver
        self._ignored = 0

    async def found(self) -> Sequence[Found]:
        return [found for one in self.receiver.received[self._ignored :] for found in _events(one)]

    @asynccontextmanager
    async def away(self) -> AsyncIterator[str]:
        async with a_port_of_nobody() as port:
            yield f"http://127.0.0.1:{port}/hook"

    def silent(self) -> AbstractAsyncContextManager[str]:
        return self._saying(Says(hangs=True))

    @asynccontextmanager
    async def _saying(self, says: Says) -> AsyncIterator[str]:
        self.receiver.says = [says]
        yield self.url
        self.receiver.says = [Says()]
        self._ignored = len(self.receiver.received)


def _events(request: Received) -> list[Found]:
    told = orjson.loads(request.body)
    events = told["events"] if told.get("object") == "batch" else [told]
    return [Found(event["event_id"], orjson.dumps(event)) for event in events]


@pytest.fixture
def stage(outbound: Outbound, receiver: Receiver) -> HttpStage:
    return HttpStage(outbound, receiver)


@pytest.mark.parametrize("claim", CLAIMS, ids=name_of)
async def test_what_every_destination_keeps(claim: Claim, stage: HttpStage) -> None:
    assert await fault_found(claim, stage) == ""


async def test_the_letter_is_sent_as_it_is(stage: HttpStage) -> None:
    sent = a_consignment(stage, 3)

    told = await stage.destination.send(sent)

    (request,) = stage.receiver.received
    assert told.outcome == Delivered()
    assert request.body == sent.letter.body
    assert sent.letter.headers.items() <= request.headers.items()


@pytest.mark.parametrize(
    ("says", "outcome", "busy", "disables"),
    [
        (Says(204), Delivered(), False, None),
        (Says(500), TryAgain("http_500"), False, None),
        (Says(429, {"retry-after": "7"}), TryAgain("http_429", timedelta(seconds=7)), True, None),
        (Says(422), Refused("http_422"), False, None),
        (Says(410), Refused("http_410"), False, "gone"),
        (Says(302), TryAgain("http_302"), False, None),
        (Says(200, {"webhook-delivery": "disable"}), Delivered(), False, "asked_by_receiver"),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Says) else "",
)
async def test_an_answer_is_told_for_what_it_is(
    says: Says, outcome: object, busy: bool, disables: str | None, stage: HttpStage
) -> None:
    stage.receiver.says = [says]

    told = await stage.destination.send(replace(a_consignment(stage), final={422}))

    assert (told.outcome, told.status_code, told.busy, told.disables) == (outcome, says.status, busy, disables)
    assert (told.error_code is None) == (told.outcome == Delivered())
