"""The hot statements touch the rows that they need and no others, however full or old the tables and the plans are."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from tests.webhooks.conftest import Receiver, Room

from offhook import ids
from offhook.webhooks import claim_store, delivery_store, held_store, lane_store, outcome_store

NOW = datetime(2026, 11, 21, tzinfo=UTC)
SCANNED = re.compile(r"Seq Scan on (due|delivery|event|try)")
JOINED = re.compile(r"(Hash|Merge) (Left |Semi |Anti )?Join")
READ_WHOLE = re.compile(
    r"(?:Index|Bitmap Heap).* on (?:due|event)\S*(?: \w+)?  \(.*\n(?!.*(Index Cond|Recheck Cond|Disabled))"
)
MANY = 4000


def _settled(count: int) -> dict[str, Any]:
    some = [ids.new() for _ in range(count)]
    tries = {
        "w": some, "e": ["live"] * count, "written_at": [NOW] * count, "d": some, "n": [0] * count, "at": [NOW] * count,
        "status": [200] * count, "code": [None] * count, "text": [None] * count, "replay": [False] * count,
        "tombstone": [False] * count, "batch": [None] * count, "request": [None] * count, "response": [None] * count,
        **{name: [1.5] * count for name in ("dns", "connect", "tls", "first_byte", "total")},
    }  # fmt: skip
    again = {"again": some[:5], "again_at": [NOW] * 5, "made": [1] * 5, "first": [NOW] * 5}
    return {**tries, **again, "over": some[5:], "fence": 0, "endpoint": some[:20]}


def _claimed(count: int) -> dict[str, Any]:
    return {
        "endpoint": [ids.new() for _ in range(count)],
        "newest": [32] * count,
        "oldest": [64] * count,
        "ahead": [timedelta(days=1)] * count,
        "fresh": [NOW] * count,
        "lease": [timedelta(seconds=30)] * count,
    }


def _in_order() -> dict[str, Any]:
    one = {"endpoint": ids.new(), "ahead": timedelta(days=1), "look": 1000, "room": 64}
    return {**one, "lease": timedelta(seconds=30), "probing": False, "since": NOW, "wait": timedelta(seconds=60)}


BATCHES = [ids.new() for _ in range(20)]
GIVEN_UP = {
    **{"ws": ids.new(), "env": "live", "e": ids.new(), "before": NOW, "at": NOW, "reason": "endpoint_deleted"},
    **{"most": 5000, "d": BATCHES},
}
STATEMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "settle": (outcome_store.SETTLE, _settled(500)),
    "claim": (claim_store.CLAIM, _claimed(20)),
    **{f"claim_{only}": (statement, _claimed(20)) for only, statement in claim_store.CLAIM_ONLY.items()},
    "put_off": (claim_store.PUT_OFF, _in_order()),
    "claim_in_order": (claim_store.CLAIM_IN_ORDER, _in_order()),
    "rest_of_batches": (claim_store.REST_OF_BATCHES, {"batch": BATCHES, "lease": timedelta(seconds=30)}),
    "sizes_of_batches": (claim_store.SIZES, {"batch": BATCHES}),
    "bind": (claim_store.BIND, {"batch": ids.new(), "fence": 1, "d": BATCHES, "f": [0] * 20}),
    "let_follow": (
        outcome_store.LET_FOLLOW,
        {"wait": timedelta(seconds=60), "endpoint": BATCHES, "subject": BATCHES},
    ),
    "move": (held_store.MOVE, GIVEN_UP),
    "move_these": (held_store.MOVE_THESE, GIVEN_UP),
    "forget": (held_store.FORGET, GIVEN_UP),
    "any_open": (delivery_store.ANY_OPEN, {"ws": ids.new(), "env": "live", "subjects": [ids.new(), ids.new()]}),
    "waiting": (claim_store.WAITING, {}),
    "waiting_of_one": (claim_store.WAITING_OF_TENANT, {"ws": ids.new(), "env": "live"}),
}
LOOKS = ("waiting", "waiting_of_one")


@pytest.fixture(params=["empty", "empty and analysed", "full", "full and analysed"])
async def state(request: pytest.FixtureRequest, room: Room, receiver: Receiver, database_url: str) -> str:
    if "full" in request.param:
        told = await room.endpoint(receiver.url)
        await room.do(room.webhooks.endpoints.pause, told.id)
        for _ in range(4):
            await room.happens(MANY // 4)
    if "analysed" in request.param:
        with psycopg.connect(database_url, autocommit=True) as owner:
            for table in ("due", "delivery", "event", "try", "person_key", "environment", "endpoint"):
                owner.execute(f"analyze {table}")
    return str(request.param)


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_no_hot_statement_reads_or_joins_a_whole_table(room: Room, state: str, mode: str) -> None:
    for name, (statement, parameters) in STATEMENTS.items():
        async with room.database.engine() as tx:
            await tx.run(f"set local plan_cache_mode = {mode}")
            rows = await tx.connection.execute("explain " + statement, parameters, prepare=True)
            plan = f"{name}\n" + "\n".join([row[0] async for row in rows])

        assert not SCANNED.search(plan), plan
        assert not JOINED.search(plan), plan
        assert "epoch_xid" not in plan, plan  # the index of the whole log: all events of the tenant
        assert name in LOOKS or not READ_WHOLE.search(plan), plan


async def test_fan_out_reads_one_row_beside_what_it_writes(room: Room, state: str) -> None:
    parameters: dict[str, Any] = {
        "ws": room.tenant.workspace, "env": "sandbox", "generation": 1, "now": NOW, "wall": NOW, "wait": timedelta(seconds=60),
        **{name: [ids.new()] for name in ("delivery", "event", "endpoint", "subject")},
        "type": ["lead.accepted"], "sequence": [1], "until": [NOW], "word": [None], "ordered": [None], "test": [False],
    }  # fmt: skip
    async with room.database.transaction(room.tenant) as tx:
        rows = await tx.connection.execute("explain " + lane_store.INSERT, parameters)
        plan = "\n".join([row[0] async for row in rows])

    assert not SCANNED.search(plan), plan
    assert not JOINED.search(plan), plan
