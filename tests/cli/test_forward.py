"""How events go to a developer's own program: in order, signed, with patience while nobody is there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cli.wires import Target, a_target

from offhook.cli.forward import PATIENCE_S, Forwarded, Forwarder, pause_s, secret_for
from offhook.outbound import Outbound

SECRET = secret_for(None, "ofk_test_1")


class Hand:
    """A forwarder to a target, whose rests take no time and are remembered."""

    def __init__(self, outbound: Outbound, target: Target) -> None:
        self.now = 0.0
        self.notes: list[str] = []
        self.comes_back_at = float("inf")
        self._target = target
        self._forwarder = Forwarder(
            outbound, target.url, SECRET, self.notes.append, rest=self._rest, clock=lambda: self.now
        )

    async def _rest(self, pause: float) -> None:
        self.now += pause
        if self.now >= self.comes_back_at:
            await self._target.come()

    async def forward(self, type: str = "call.ended", **more: Any) -> Forwarded:
        event = {"event_id": "evt_1", "type": type, "data": {}, **more}
        return await self._forwarder.forward(event, orjson.dumps(event))


@asynccontextmanager
async def a_hand() -> AsyncIterator[tuple[Hand, Target]]:
    outbound = Outbound()
    async with a_target() as target:
        yield Hand(outbound, target), target
    await outbound.close()


@pytest.fixture
async def hand_and_target() -> AsyncIterator[tuple[Hand, Target]]:
    async with a_hand() as both:
        yield both


Both = tuple[Hand, Target]


async def test_whatever_is_answered_an_event_is_sent_once(hand_and_target: Both) -> None:
    hand, target = hand_and_target
    target.statuses = [500, 301, 404]

    came = [await hand.forward() for _ in range(4)]

    assert [(one.status, one.tries) for one in came] == [(500, 1), (301, 1), (404, 1), (204, 1)]
    assert len(target.got) == 4
    assert hand.notes == []


async def test_an_event_waits_for_a_target_that_is_started_anew(hand_and_target: Both) -> None:
    hand, target = hand_and_target
    await target.go()
    hand.comes_back_at = 5.0

    came = await hand.forward()

    assert came.status == 204
    assert [one.headers()["offhook-try"] for one in target.got] == [str(came.tries - 1)]
    assert len(hand.notes) == 1


async def test_after_half_a_minute_an_event_is_let_go_and_the_next_are_tried_once(hand_and_target: Both) -> None:
    hand, target = hand_and_target
    await target.go()

    first, second = await hand.forward(), await hand.forward()

    assert (first.status, first.error) == (None, "connect_refused")
    assert hand.now == PATIENCE_S
    assert (second.error, second.tries) == ("connect_refused", 1)


async def test_a_target_that_came_back_is_waited_for_again(hand_and_target: Both) -> None:
    hand, target = hand_and_target
    await target.go()
    await hand.forward()
    await target.come()
    assert (await hand.forward()).status == 204
    await target.go()
    hand.comes_back_at = hand.now + 10

    came = await hand.forward()

    assert (came.status, len(hand.notes)) == (204, 2)


async def test_the_event_of_an_erased_person_is_marked_as_the_sender_would(hand_and_target: Both) -> None:
    hand, target = hand_and_target

    await hand.forward(data={"erased": True})
    await hand.forward()

    assert [one.headers().get("offhook-tombstone") for one in target.got] == ["1", None]


@given(st.integers(1, 1000), st.floats(0, 100))
def test_a_pause_never_reaches_beyond_patience(tries: int, away_s: float) -> None:
    pause = pause_s(tries, away_s)

    assert (pause is None) == (away_s >= PATIENCE_S)
    assert pause is None or 0 < pause <= 2 and away_s + pause <= PATIENCE_S + 1e-6
