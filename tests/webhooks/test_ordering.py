"""An endpoint that wants order gets the events of each call and lead in order, and nobody waits for a stranger's."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.webhooks.conftest import Received, Receiver, Room, Says, a_fact

from offhook import ids
from offhook.events import Fact
from offhook.webhooks import claim_store
from offhook.webhooks.wire import EndpointChange

ORDERED: dict[str, Any] = {"ordering": "per_subject"}


async def happens_to(room: Room, *subjects: UUID) -> None:
    """One event about each, in this order, each in its own transaction."""
    for subject in subjects:
        async with room.database.transaction(room.tenant) as tx:
            await room.log.append(tx, [a_fact_about(subject)])


def a_fact_about(subject: UUID) -> Fact:
    return replace(a_fact(), subject_id=subject, id=ids.new())


def told(receiver: Receiver) -> list[tuple[str, int]]:
    bodies = [orjson.loads(one.body) for one in receiver.received]
    return [(body["subject"]["id"], body["sequence"]) for body in bodies]


def went_early(receiver: Receiver) -> list[bool]:
    return ["offhook-out-of-order" in one.headers for one in receiver.received]


async def test_the_events_of_a_subject_come_one_after_the_other(room: Room, receiver: Receiver) -> None:
    await room.endpoint(receiver.url, **ORDERED)
    one, other = ids.new(), ids.new()

    await happens_to(room, one, other, one, one, other)
    await room.drain()

    by_subject = defaultdict(list)
    for subject, sequence in told(receiver):
        by_subject[subject].append(sequence)
    assert sorted(by_subject.values()) == [[1, 2], [1, 2, 3]]
    assert not any(went_early(receiver))


async def test_an_event_that_fails_holds_up_its_own_subject_and_no_other(room: Room, receiver: Receiver) -> None:
    receiver.says = [Says(500), Says(200)]
    await room.endpoint(receiver.url, **ORDERED)
    failing, fine = ids.new(), ids.new()
    await happens_to(room, failing)
    await room.drain()

    await happens_to(room, failing, fine, failing, fine)
    await room.drain()

    (first, _), *others = told(receiver)
    assert [sequence for _, sequence in others] == [1, 2]
    assert first not in {subject for subject, _ in others}


async def test_what_waits_goes_at_once_when_the_earlier_one_is_delivered(
    room: Room, receiver: Receiver, clock: Any
) -> None:
    receiver.says = [Says(500), Says(200)]
    await room.endpoint(receiver.url, retry={"gaps_s": [0, 20]}, **ORDERED)
    subject = ids.new()
    await happens_to(room, subject, subject, subject)
    await room.drain()

    await clock.forward(timedelta(seconds=25))
    await room.drain()

    assert [sequence for _, sequence in told(receiver)] == [1, 1, 2, 3]
    assert not any(went_early(receiver))


async def test_what_waits_goes_at_once_when_the_earlier_one_is_dead(room: Room, receiver: Receiver) -> None:
    receiver.says = [Says(400), Says(200)]
    await room.endpoint(receiver.url, retry={"final_statuses": [400]}, **ORDERED)
    subject = ids.new()

    await happens_to(room, subject, subject)
    await room.drain()

    assert [sequence for _, sequence in told(receiver)] == [1, 2]
    assert went_early(receiver) == [False, False]


async def test_after_a_minute_it_goes_before_the_earlier_one_and_says_so(
    room: Room, receiver: Receiver, clock: Any
) -> None:
    receiver.says = [Says(500), Says(200)]
    await room.endpoint(receiver.url, retry={"gaps_s": [0, 3600]}, **ORDERED)
    subject = ids.new()
    await happens_to(room, subject, subject)
    await room.drain()
    assert len(receiver.received) == 1

    await clock.to(await room.next_due() or ...)
    await room.drain()
    await clock.forward(timedelta(hours=2))
    await room.drain()

    assert [sequence for _, sequence in told(receiver)] == [1, 2, 1]
    assert went_early(receiver) == [False, True, False]


async def test_what_waits_falls_due_when_its_minute_is_over(room: Room, receiver: Receiver) -> None:
    receiver.says = [Says(500)]
    await room.endpoint(receiver.url, retry={"gaps_s": [0, 3600]}, **ORDERED)
    subject = ids.new()

    await happens_to(room, subject, subject)
    await room.drain()

    (born,) = await room.row("select min(ordered_until - interval '60 s') from due where sequence = 2")
    assert await room.next_due() == born + timedelta(seconds=60)


async def test_an_earlier_one_that_ends_while_the_later_is_put_off_is_not_overlooked(
    room: Room, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await room.endpoint(receiver.url, **ORDERED)
    subject, put_off = ids.new(), claim_store.put_off
    await happens_to(room, subject, subject)

    async def and_then_the_first_ends(tx: Any, endpoint: Any) -> Any:
        seen = await put_off(tx, endpoint)
        async with room.database.engine() as other:
            await other.run("delete from due where sequence = 1")
        return seen

    monkeypatch.setattr(claim_store, "put_off", and_then_the_first_ends)
    await room.drain()

    assert [sequence for _, sequence in told(receiver)] == [2]


async def test_many_that_wait_stand_before_nobody(room: Room, receiver: Receiver) -> None:
    receiver.says = [Says(500), Says(200)]
    await room.endpoint(receiver.url, **ORDERED)
    stuck = ids.new()
    await happens_to(room, stuck)
    await room.drain()
    async with room.database.transaction(room.tenant) as tx:
        await room.log.append(tx, [a_fact_about(stuck) for _ in range(2500)])
    await happens_to(room, ids.new())

    await room.webhooks.sender.work(room.tenant)
    await room.webhooks.sender.finish(room.tenant, 5)

    assert len(receiver.received) == 2
    (in_front,) = await room.row("select count(*) from due where due_at <= now()")
    assert in_front == 0


async def test_a_process_that_dies_in_between_changes_no_order(room: Room, worker: Room, receiver: Receiver) -> None:
    await room.endpoint(receiver.url, **ORDERED)
    subject = ids.new()
    room.webhooks.sender._recorder.take = lambda _: None  # type: ignore[method-assign, assignment]
    await happens_to(room, subject, subject)
    await room.webhooks.sender.work(room.tenant)
    await receiver.has(1)

    await is_dead(room)
    await worker.drain()

    assert [sequence for _, sequence in told(receiver)] == [1, 1, 2]
    assert not any(went_early(receiver))


async def is_dead(room: Room) -> None:
    """Every lease that any process holds has run out."""
    async with room.database.engine() as tx:
        await tx.run("update due set leased_until = now() - interval '1 s' where leased_until is not null")
        await tx.run("update endpoint_owner set leased_until = now() - interval '1 s'")
        await tx.run("delete from sender")


async def test_an_endpoint_that_wants_no_order_any_more_gets_what_waited(
    room: Room, receiver: Receiver, clock: Any
) -> None:
    receiver.says = [Says(500), Says(200)]
    told_of = await room.endpoint(receiver.url, retry={"gaps_s": [0, 3600]}, **ORDERED)
    subject = ids.new()
    await happens_to(room, subject, subject)
    await room.drain()

    await change(room, told_of.id, ordering="none")
    await clock.forward(timedelta(seconds=61))
    await room.drain()

    assert [sequence for _, sequence in told(receiver)] == [1, 2]


async def change(room: Room, endpoint: UUID, **wanted: Any) -> None:
    sent = EndpointChange.model_validate(wanted)
    await room.do(room.webhooks.endpoints.change, endpoint, sent, frozenset(wanted), None)


@dataclass
class Act:
    """What came of something that happened: what was received, as the environment's time was `until` at most."""

    received: list[Received]
    until: datetime


class Story:
    """A new endpoint that wants order, and whatever happens to it and to two processes. Time is the environment's."""

    def __init__(self, processes: list[Room], receiver: Receiver, clock: Any, answers: list[int]) -> None:
        self.room, self.processes, self.receiver, self.clock = processes[0], processes, receiver, clock
        receiver.says = [*map(Says, answers), Says(200)]
        self.answers = [*answers]
        self.subjects = [ids.new() for _ in range(3)]
        self.born: dict[str, list[datetime]] = defaultdict(list)
        self.acts: list[Act] = []

    async def now(self) -> datetime:
        async with self.room.database.transaction(self.room.tenant) as tx:
            return tx.now

    async def goes_on(self, what: str, n: int) -> None:
        before, process = len(self.receiver.received), self.processes[n % 2]
        match what:
            case "born":
                for subject in (self.subjects[n % 3], self.subjects[n % 2]):
                    self.born[ids.show("lead", subject)].append(await self.now())
                    await happens_to(process, subject)
            case "sent":
                await process.drain()
            case "sent by both":
                await asyncio.gather(*(one.drain() for one in self.processes))
            case "later":
                await self.clock.forward(timedelta(seconds=[5, 40, 70][n % 3]))
            case _:
                await is_dead(self.room)
        self.acts.append(Act(self.receiver.received[before:], await self.now()))

    async def ends(self) -> None:
        await self.goes_on("dead", 0)
        while due := await self.room.next_due():
            await self.clock.to(due)
            await self.goes_on("sent", 1)

    def is_in_order(self) -> None:
        """Each came after all earlier ones of its subject had ended; or says that it did not, and had waited its time."""
        said: dict[tuple[str, int], list[int]] = defaultdict(list)
        for act in self.acts:
            ended = {one for one, answers in said.items() if has_ended(answers)}
            for one in act.received:
                body = orjson.loads(one.body)
                subject, sequence = body["subject"]["id"], body["sequence"]
                earlier = [(subject, before) for before in range(1, sequence)]
                if "offhook-out-of-order" in one.headers:
                    assert not ended.issuperset(earlier), "none was open when it was claimed"
                    assert act.until - self.born[subject][sequence - 1] >= timedelta(seconds=60)
                else:
                    assert all(has_ended(said[before]) for before in earlier)
                said[subject, sequence].append(self.answers.pop(0) if self.answers else 200)


def has_ended(answers: list[int]) -> bool:
    return 200 in answers or 400 in answers or len(answers) >= 3


HAPPENINGS = st.lists(
    st.tuples(st.sampled_from(["born", "born", "sent", "sent", "sent by both", "later", "dead"]), st.integers(0, 5)),
    max_size=20,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[*HealthCheck])
@given(HAPPENINGS, st.lists(st.sampled_from([200, 200, 500, 500, 400]), max_size=40))
async def test_whatever_happens_a_later_event_never_comes_before_an_earlier_one_unless_it_says_so(
    room: Room, worker: Room, receiver: Receiver, clock: Any, happenings: list[tuple[str, int]], answers: list[int]
) -> None:
    receiver.received.clear()
    story = Story([room, worker], receiver, clock, answers)
    retry = {"gaps_s": [0, 30, 90], "tries": 3, "final_statuses": [400]}
    told_of = await room.endpoint(receiver.url, retry=retry, **ORDERED)

    for what, n in happenings:
        await story.goes_on(what, n)
    await story.ends()
    await room.do(room.webhooks.endpoints.delete, told_of.id)

    story.is_in_order()
