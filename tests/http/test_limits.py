import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook import access, ids
from offhook.db import Database, Tenant
from offhook.errors import TooMany
from offhook.http import Caller
from offhook.http.limits import Lease, Limits

RATE, BURST = 20, 40


class Bucket:
    """The database's bucket, by a clock that the test moves."""

    def __init__(self, rate: int, burst: int) -> None:
        self.rate, self.burst = rate, burst
        self.now = 0.0
        self.tokens, self.refilled_at = float(burst), 0.0
        self.leases = 0

    async def lease(self, who: Caller, most: int) -> Lease:
        self.leases += 1
        self.tokens = min(self.burst, self.tokens + self.rate * (self.now - self.refilled_at))
        self.refilled_at = self.now
        granted = min(int(self.tokens), most)
        self.tokens -= granted
        return Lease(granted, self.tokens)


def a_caller(rate: int, burst: int) -> Caller:
    return Caller(Tenant(ids.new(), "sandbox"), ids.new(), frozenset(), rate, burst)


@given(
    st.integers(1, 100),
    st.integers(1, 100),
    st.lists(st.tuples(st.floats(0, 3), st.integers(0, 2), st.integers(1, 150)), max_size=10),
)
def test_no_span_of_time_ever_lets_more_through_than_burst_and_rate_over_all_processes(
    rate: int, burst: int, visits: list[tuple[float, int, int]]
) -> None:
    passed = asyncio.run(_visit(rate, burst, visits))

    for i, first in enumerate(passed):
        for count, last in enumerate(passed[i:], start=1):
            assert count <= burst + rate * (last - first) + 1e-6


async def _visit(rate: int, burst: int, visits: list[tuple[float, int, int]]) -> list[float]:
    bucket, who = Bucket(rate, burst), a_caller(rate, burst)
    processes = [Limits(bucket.lease, monotonic=lambda: bucket.now) for _ in range(3)]
    passed = []
    for wait, process, requests in visits:
        bucket.now += wait
        for _ in range(requests):
            try:
                await processes[process].take(who)
            except TooMany:
                break
            passed.append(bucket.now)
    return passed


async def test_most_requests_ask_no_database() -> None:
    bucket, who = Bucket(100, 200), a_caller(100, 200)
    limits = Limits(bucket.lease, monotonic=lambda: bucket.now)

    for _ in range(150):
        await limits.take(who)

    assert bucket.leases == 15


async def test_past_the_limit_nothing_is_asked_until_a_token_can_be_there() -> None:
    bucket, who = Bucket(2, 1), a_caller(2, 1)
    limits = Limits(bucket.lease, monotonic=lambda: bucket.now)

    await limits.take(who)
    refusals = 0
    for _ in range(100):
        with pytest.raises(TooMany):
            await limits.take(who)
        refusals += 1
    bucket.now += 0.5
    await limits.take(who)

    assert refusals == 100
    assert bucket.leases == 3


async def test_tokens_that_lapsed_stay_lapsed_while_the_bucket_is_asked() -> None:
    bucket, who, may_answer = Bucket(100, 100), a_caller(100, 100), asyncio.Event()

    async def slow(who: Caller, most: int) -> Lease:
        await may_answer.wait()
        return await bucket.lease(who, most)

    limits = Limits(slow, monotonic=lambda: bucket.now)
    may_answer.set()
    await limits.take(who)
    may_answer.clear()
    bucket.now += 1
    asking = asyncio.create_task(limits.take(who))
    await asyncio.sleep(0)

    assert limits.spend(who) is None
    may_answer.set()
    await asking


async def test_two_processes_over_one_database_stay_below_the_limit_of_the_key(
    database: Database, tenant: Tenant
) -> None:
    async with database.transaction(tenant) as tx:
        issued = await access.issue_key(tx, "Limited", ["*"], rate_per_s=RATE, burst=BURST)
    who = Caller(tenant, issued.id, frozenset(), RATE, BURST)
    processes = [Limits(access.leases_of(database)) for _ in range(2)]
    clock = asyncio.get_running_loop().time
    began, passed = clock(), 0

    async def knock(limits: Limits) -> None:
        nonlocal passed
        while clock() - began < 1.0:
            try:
                await limits.take(who)
                passed += 1
            except TooMany:
                await asyncio.sleep(0.02)

    await asyncio.gather(*(knock(limits) for limits in processes for _ in range(10)))

    assert BURST <= passed <= BURST + RATE * (clock() - began)


async def test_the_answers_tell_the_limit_and_past_it_when_to_come_back(
    app: Any, database: Database, tenant: Tenant, client_of: Any
) -> None:
    async with database.transaction(tenant) as tx:
        issued = await access.issue_key(tx, "Limited", ["*"], rate_per_s=1, burst=2)
    api = client_of(app, issued.shown)

    replies = [await api.get("/v1/things") for _ in range(3)]

    assert [reply.status for reply in replies] == [200, 200, 429]
    assert [replies[0].headers[f"ratelimit-{name}"] for name in ("limit", "remaining", "reset")] == ["2", "1", "1"]
    assert (replies[2].json["code"], replies[2].headers["retry-after"]) == ("rate_limited", "1")
