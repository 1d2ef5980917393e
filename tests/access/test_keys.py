import asyncio
import hashlib
from typing import Any

import psycopg
import pytest
from fastapi import FastAPI

from offhook import access, ids
from offhook.access import http
from offhook.access.authenticator import STRANGERS_AT_ONCE, STRANGERS_WAITING
from offhook.access.token import mint
from offhook.app import build_app
from offhook.db import Database, Tenant, Wakeups
from offhook.errors import Invalid, Unavailable
from offhook.http import Door
from offhook.privacy import Vault
from offhook.settings import load


@pytest.fixture
def authenticator(database: Database, wakeups: Wakeups) -> access.Authenticator:
    return access.Authenticator(database, wakeups)


@pytest.fixture
def app(database: Database, vault: Vault, authenticator: access.Authenticator) -> FastAPI:
    async def ready() -> dict[str, str]:
        return {}

    return build_app(
        load(environ={}), authenticator, database, [http.router(Door(database, vault), authenticator)], ready
    )


@pytest.fixture
async def owner(app: FastAPI, database: Database, tenant: Tenant, client_of: Any) -> Any:
    return client_of(app, await a_key(database, tenant, "*"))


class LookedUp:
    """How often keys are looked up in the database, and how many at once; `may_go_on` holds them there."""

    def __init__(self) -> None:
        self.times = self.now = self.most = 0
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self._come = asyncio.Semaphore(0)

    async def hold(self) -> None:
        self.times, self.now = self.times + 1, self.now + 1
        self.most = max(self.most, self.now)
        self._come.release()
        await self.may_go_on.wait()
        self.now -= 1

    async def come(self, count: int) -> None:
        """Wait until so many more are being looked up."""
        async with asyncio.timeout(20):
            for _ in range(count):
                await self._come.acquire()


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> LookedUp:
    counted, find = LookedUp(), access.store.find_by_hash

    async def find_by_hash(tx: Any, hash: bytes) -> Any:
        await counted.hold()
        return await find(tx, hash)

    monkeypatch.setattr(access.store, "find_by_hash", find_by_hash)
    return counted


async def a_key(database: Database, tenant: Tenant, *scopes: str) -> str:
    async with database.transaction(tenant) as tx:
        return (await access.issue_key(tx, "A key", scopes)).shown


async def test_a_key_is_shown_once_and_never_again(owner: Any) -> None:
    made = await owner.post("/v1/api-keys", {"name": "CRM", "scopes": ["leads:write"]})
    again = await owner.get(f"/v1/api-keys/{made.json['id']}")

    assert made.status == 201
    assert made.json["key"].startswith("ofk_test_")
    assert made.json["key"].endswith(made.json["hint"])
    assert "key" not in again.json
    assert made.json["key"].encode() not in again.content


async def test_the_database_holds_only_the_hash_of_a_key(owner: Any, database_url: str) -> None:
    made = (await owner.post("/v1/api-keys", {"name": "CRM", "scopes": ["*"]})).json

    with psycopg.connect(database_url, options="-c role=offhook_engine") as engine:
        rows = engine.execute("select k::text, hash from api_key k").fetchall()
    assert made["key"][9:] not in str(rows)
    assert all(len(hash) == hashlib.sha256().digest_size for _, hash in rows)


async def test_a_revoked_key_opens_nothing_any_more_and_is_still_listed(owner: Any, app: Any, client_of: Any) -> None:
    made = (await owner.post("/v1/api-keys", {"name": "CRM", "scopes": ["*"]})).json
    bearer = client_of(app, made["key"])
    before = await bearer.get("/v1/api-keys")

    await owner.delete(f"/v1/api-keys/{made['id']}")
    after = await bearer.get("/v1/api-keys")
    again = await owner.delete(f"/v1/api-keys/{made['id']}")
    shown = (await owner.get(f"/v1/api-keys/{made['id']}")).json

    assert (before.status, after.status, again.status) == (200, 401, 204)
    assert shown["revoked_at"] is not None
    assert shown["version"] == 2


async def test_a_revocation_reaches_the_other_processes_at_once(
    owner: Any, database: Database, database_url: str, tenant: Tenant
) -> None:
    made = (await owner.post("/v1/api-keys", {"name": "CRM", "scopes": ["*"]})).json
    elsewhere, heard = Wakeups(database_url), asyncio.Event()
    await elsewhere.start()
    other = access.Authenticator(database, elsewhere, monotonic=lambda: 0.0)  # there a second never passes
    elsewhere.hear("key", lambda _: heard.set())
    before = await other(made["key"])

    await owner.delete(f"/v1/api-keys/{made['id']}")
    await asyncio.wait_for(heard.wait(), 5)
    after = await other(made["key"])
    await elsewhere.stop()

    assert before is not None
    assert after is None


async def test_a_key_is_believed_for_a_second_at_most_where_a_broadcast_is_lost(
    database: Database, wakeups: Wakeups, tenant: Tenant
) -> None:
    now = 0.0
    deaf = access.Authenticator(database, Wakeups(database.url), monotonic=lambda: now)
    async with database.transaction(tenant) as tx:
        issued = await access.issue_key(tx, "A key", ["*"])
    assert await deaf(issued.shown)
    async with database.transaction(tenant) as tx:
        await access.store.revoke_key(tx, issued.id)

    assert await deaf(issued.shown)
    now = 1.0
    assert await deaf(issued.shown) is None


async def test_strangers_with_made_up_keys_leave_the_database_to_those_who_work(
    database: Database, tenant: Tenant, authenticator: access.Authenticator, looked_up: LookedUp
) -> None:
    mine = await a_key(database, tenant, "*")
    assert await authenticator(mine)
    looked_up.may_go_on.clear()

    strangers = [asyncio.create_task(authenticator(mint("live")[0])) for _ in range(200)]
    await asyncio.wait(strangers, return_when=asyncio.FIRST_EXCEPTION)
    refused = [one for one in strangers if one.done() and isinstance(one.exception(), Unavailable)]
    authenticator._doubt()
    known = asyncio.create_task(authenticator(mine))
    await looked_up.come(1 + STRANGERS_AT_ONCE + 1)
    looked_up.may_go_on.set()
    await asyncio.wait(strangers)

    assert len(refused) == 200 - STRANGERS_AT_ONCE - STRANGERS_WAITING
    assert await known is not None
    assert await authenticator(mint("live")[0]) is None
    assert looked_up.most == STRANGERS_AT_ONCE + 1


async def test_a_key_that_was_not_found_is_looked_for_again_after_a_while_only(
    database: Database, wakeups: Wakeups, looked_up: LookedUp
) -> None:
    times = [0.0]
    authenticator = access.Authenticator(database, wakeups, monotonic=lambda: times[-1])
    unknown = mint("live")[0]

    asked = []
    for seconds in (0.0, 1.0, 4.9, 5.0):
        times.append(seconds)
        assert await authenticator(unknown) is None
        asked.append(looked_up.times)

    assert asked == [1, 1, 1, 2]


async def test_what_is_remembered_of_made_up_keys_has_an_end(
    authenticator: access.Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offhook.access.authenticator.UNKNOWN_KEPT", 3)

    for _ in range(5):
        await authenticator(mint("live")[0])

    assert len(authenticator._unknown) == 3


async def test_a_change_of_scopes_counts_for_the_very_next_request(owner: Any, app: Any, client_of: Any) -> None:
    made = (await owner.post("/v1/api-keys", {"name": "CRM", "scopes": ["access:read"]})).json
    bearer = client_of(app, made["key"])
    before = await bearer.get("/v1/api-keys")

    await owner.patch(f"/v1/api-keys/{made['id']}", {"scopes": ["leads:read"], "rate_per_s": 5, "burst": 9})
    after = await bearer.get("/v1/api-keys")
    shown = (await owner.get(f"/v1/api-keys/{made['id']}")).json

    assert (before.status, after.status) == (200, 403)
    assert (shown["scopes"], shown["rate_per_s"], shown["burst"]) == (["leads:read"], 5, 9)


async def test_an_unknown_scope_is_answered_with_the_one_meant(owner: Any) -> None:
    reply = await owner.post("/v1/api-keys", {"name": "CRM", "scopes": ["leads:read", "lead:write"]})

    assert (reply.status, reply.json["code"], reply.json["param"]) == (422, "unknown_scope", "scopes.1")
    assert "leads:write" in reply.json["detail"]


@pytest.mark.parametrize("wish", [["*"], ["leads:*"], ["access:write", "leads:erase"]])
async def test_a_key_cannot_give_away_what_it_does_not_have(
    app: Any, database: Database, tenant: Tenant, client_of: Any, wish: list[str]
) -> None:
    member = client_of(app, await a_key(database, tenant, "access:*", "leads:read"))
    own = (await member.get("/v1/api-keys")).json["data"][0]["id"]

    issued = await member.post("/v1/api-keys", {"name": "more", "scopes": wish})
    raised = await member.patch(f"/v1/api-keys/{own}", {"scopes": wish})
    batched = await member.post(
        "/v1/api-keys/batch", {"operations": [{"op": "create", "body": {"name": "more", "scopes": wish}}]}
    )

    assert [reply.json["code"] for reply in (issued, raised)] == ["cannot_grant"] * 2
    assert batched.json["results"][0]["problem"]["code"] == "cannot_grant"


async def test_a_stranger_sees_and_revokes_no_key_of_ours(
    owner: Any, app: Any, database: Database, stranger: Tenant, live_tenant: Tenant, client_of: Any
) -> None:
    made = (await owner.post("/v1/api-keys", {"name": "CRM", "scopes": ["*"]})).json

    for other in (stranger, live_tenant):
        outsider = client_of(app, await a_key(database, other, "*"))
        assert (await outsider.get(f"/v1/api-keys/{made['id']}")).status == 404
        assert (await outsider.delete(f"/v1/api-keys/{made['id']}")).status == 404
        assert [key["name"] for key in (await outsider.get("/v1/api-keys")).json["data"]] == ["A key"]


async def test_a_key_is_issued_for_known_scopes_only(database: Database, tenant: Tenant) -> None:
    async with database.transaction(tenant) as tx:
        with pytest.raises(Invalid, match="unknown_scope"):
            await access.issue_key(tx, "A key", ["everything"])


async def test_an_installation_knows_whether_it_has_a_workspace(database: Database) -> None:
    async with database.engine() as engine:
        before = await access.any_workspace(engine)
    async with database.transaction(Tenant(ids.new(), "live")) as tx:
        await access.create_workspace(tx, "Acme")
    async with database.engine() as engine:
        after = await access.any_workspace(engine)

    assert (before, after) == (False, True)
