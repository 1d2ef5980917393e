import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import UUID

import orjson
import psycopg
import pytest
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from offhook import ids
from offhook.db import Database, Tenant, Tx, Wakeups
from offhook.errors import OffhookError
from offhook.privacy import ERASED, KeyRing, PersonKey, Vault
from offhook.privacy.vault import owner_of

PLACE = b"lead.details"


@pytest.fixture
async def person(database: Database, tenant: Tenant, vault: Vault) -> UUID:
    person = ids.new()
    async with database.transaction(tenant) as tx:
        await vault.create(tx, [person])
    return person


@pytest.fixture
async def second_wakeups(database_url: str) -> AsyncIterator[Wakeups]:
    """The wake-ups of another process, which listens."""
    wakeups, listening = Wakeups(database_url), asyncio.Event()
    wakeups.on_reconnect(listening.set)
    await wakeups.start()
    await listening.wait()
    yield wakeups
    await wakeups.stop()


@pytest.fixture
def second(ring: KeyRing, second_wakeups: Wakeups) -> Vault:
    """The vault of another process over the same database and ring."""
    return Vault(ring, second_wakeups)


@asynccontextmanager
async def rolled_back(database: Database, tenant: Tenant) -> AsyncIterator[Tx]:
    """A transaction that fails at its end."""
    with suppress(InterruptedError):
        async with database.transaction(tenant) as tx:
            yield tx
            raise InterruptedError


async def key_of(database: Database, tenant: Tenant, vault: Vault, person: UUID) -> PersonKey:
    async with database.transaction(tenant) as tx:
        key = await vault.key(tx, person)
    assert isinstance(key, PersonKey)
    return key


@given(st.binary(), st.binary(max_size=20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_sealed_opens_again_and_nothing_of_it_stands_in_clear(data: bytes, place: bytes) -> None:
    key = a_key(Tenant(ids.new(), "live"), ids.new())

    sealed = key.seal(data, place)

    assert key.open(sealed, place) == data
    assert len(data) < 4 or data not in sealed


def a_key(tenant: Tenant, person: UUID) -> PersonKey:
    return PersonKey(tenant, owner_of(tenant, person), AESGCM(bytes(32)))


def test_a_sealed_value_opens_for_no_other_person_place_or_tenant() -> None:
    tenant, person = Tenant(ids.new(), "live"), ids.new()
    key = a_key(tenant, person)
    sealed = key.seal(b"Michael", PLACE)
    sandbox = Tenant(tenant.workspace, "sandbox")

    elsewhere = [a_key(tenant, ids.new()), a_key(sandbox, person), a_key(Tenant(ids.new(), "live"), person)]

    for other, place in [*((other, PLACE) for other in elsewhere), (key, b"lead.evidence")]:
        with pytest.raises(OffhookError, match="sealed_elsewhere"):
            other.open(sealed, place)


def test_a_persons_key_is_not_printed() -> None:
    assert "AESGCM" not in repr(a_key(Tenant(ids.new(), "live"), ids.new()))


async def test_the_operational_and_the_evidence_key_of_a_person_open_nothing_of_each_other(
    database: Database, tenant: Tenant, vault: Vault, person: UUID
) -> None:
    async with database.transaction(tenant) as tx:
        operational, evidence = await vault.key(tx, person), await vault.key(tx, person, "evidence")
    assert isinstance(operational, PersonKey)
    assert isinstance(evidence, PersonKey)

    sealed = operational.seal(b"Michael", PLACE)

    with pytest.raises(OffhookError, match="sealed_elsewhere"):
        evidence.open(sealed, PLACE)


async def test_no_two_of_the_keys_made_together_are_alike(
    database: Database, tenant: Tenant, vault: Vault, second: Vault
) -> None:
    persons = [ids.new() for _ in range(3)]
    async with database.transaction(tenant) as tx:
        await vault.create(tx, persons)
        rows = await tx.rows("select wrapped from person_key")
        keys = [await second.key(tx, person, kind) for person in persons for kind in ("operational", "evidence")]

    nonces = {row[0][:12] for row in rows}
    # Under one nonce and one place, keys that are alike would seal alike.
    sealed = {key.cipher.encrypt(bytes(12), b"Michael", PLACE) for key in keys if isinstance(key, PersonKey)}
    assert (len(nonces), len(sealed)) == (6, 6)


async def test_another_process_opens_what_this_one_sealed(
    database: Database, tenant: Tenant, vault: Vault, second: Vault, person: UUID
) -> None:
    sealed = (await key_of(database, tenant, vault, person)).seal(b"Michael", PLACE)

    opened = (await key_of(database, tenant, second, person)).open(sealed, PLACE)

    assert opened == b"Michael"


async def test_giving_keys_to_a_person_who_has_them_changes_nothing(
    database: Database, tenant: Tenant, vault: Vault, second: Vault, person: UUID
) -> None:
    async with database.transaction(tenant) as tx:
        await vault.create(tx, [person])
    sealed = (await key_of(database, tenant, vault, person)).seal(b"Michael", PLACE)

    assert (await key_of(database, tenant, second, person)).open(sealed, PLACE) == b"Michael"


async def test_a_key_whose_transaction_rolled_back_seals_nothing_afterwards(
    database: Database, tenant: Tenant, vault: Vault
) -> None:
    person = ids.new()

    async with rolled_back(database, tenant) as tx:
        await vault.create(tx, [person])
        assert await vault.key(tx, person)

    async with database.transaction(tenant) as tx:
        assert await vault.key(tx, person) is ERASED


async def test_a_shredded_persons_key_is_gone_and_their_evidence_key_stays(
    database: Database, tenant: Tenant, vault: Vault, person: UUID
) -> None:
    async with database.transaction(tenant) as tx:
        await vault.shred(tx, person, reason="request", kept=[])

    async with database.transaction(tenant) as tx:
        assert await vault.key(tx, person) is ERASED
        assert isinstance(await vault.key(tx, person, "evidence"), PersonKey)
    assert vault.was_shredded(person)


async def test_a_shredding_that_rolls_back_keeps_the_key(
    database: Database, tenant: Tenant, vault: Vault, person: UUID
) -> None:
    async with rolled_back(database, tenant) as tx:
        await vault.shred(tx, person, reason="request", kept=[])

    assert await key_of(database, tenant, vault, person)
    assert not vault.was_shredded(person)


async def test_shredding_twice_answers_with_the_first_receipt(
    database: Database, tenant: Tenant, vault: Vault, person: UUID
) -> None:
    async with database.transaction(tenant) as tx:
        first = await vault.shred(tx, person, reason="request", kept=["a hash"])

    async with database.transaction(tenant) as tx:
        assert await vault.shred(tx, person, reason="retention", kept=[]) == first


async def test_the_receipt_is_signed_and_names_what_is_gone_and_what_is_kept(
    database: Database, tenant: Tenant, vault: Vault, ring: KeyRing, person: UUID
) -> None:
    async with database.transaction(tenant) as tx:
        receipt = await vault.shred(tx, person, reason="request", kept=["the reference as a keyed hash"])

    verifier = Ed25519PublicKey.from_public_bytes(ring.public_key)
    verifier.verify(receipt.signature, receipt.document)
    with pytest.raises(InvalidSignature):
        verifier.verify(receipt.signature, receipt.document.replace(b"request", b"refusal"))
    told = orjson.loads(receipt.document)
    assert told["person"] == person.hex
    assert told["kept"] == ["the reference as a keyed hash"]


async def test_a_process_that_holds_a_persons_key_forgets_it_when_another_shreds_it(
    database: Database, tenant: Tenant, vault: Vault, second: Vault, second_wakeups: Wakeups, person: UUID
) -> None:
    await key_of(database, tenant, second, person)
    heard = asyncio.Event()
    second_wakeups.hear("person", lambda _: heard.set())

    async with database.transaction(tenant) as tx:
        await vault.shred(tx, person, reason="request", kept=[])
    await asyncio.wait_for(heard.wait(), 10)

    async with database.transaction(tenant) as tx:
        assert await second.key(tx, person) is ERASED


async def test_a_key_read_before_the_news_of_its_shredding_is_not_remembered_after_it(
    database: Database, tenant: Tenant, vault: Vault, second: Vault, person: UUID, wakeups: Wakeups
) -> None:
    async with database.transaction(tenant) as tx:
        row = await tx.row("select epoch, wrapped from person_key where class = 'operational'")
        await second.shred(tx, person, reason="request", kept=[])
    assert row
    wakeups.send(f"person:{person}")

    vault.unwrap(tenant, person, "operational", *row)

    async with database.transaction(tenant) as tx:
        assert await vault.key(tx, person) is ERASED


async def test_a_lost_epoch_stops_the_work_and_is_never_read_as_erased(
    database: Database, database_url: str, tenant: Tenant, second: Vault, person: UUID
) -> None:
    with psycopg.connect(database_url, options="-c role=offhook_app") as connection:
        connection.execute("select set_config('offhook.workspace', %s, true)", [str(tenant.workspace)])
        connection.execute("select set_config('offhook.environment', 'sandbox', true)")
        connection.execute("update person_key set epoch = '1999-W01'")

    async with database.transaction(tenant) as tx:
        with pytest.raises(OffhookError, match="no_epoch_key"):
            await second.key(tx, person)


async def test_a_person_is_nobody_to_another_tenant(
    database: Database, tenant: Tenant, stranger: Tenant, vault: Vault, person: UUID
) -> None:
    await key_of(database, tenant, vault, person)

    async with database.transaction(stranger) as tx:
        assert await vault.key(tx, person) is ERASED


def test_the_same_number_has_another_tag_for_every_tenant_and_kind(vault: Vault) -> None:
    ours = Tenant(ids.new(), "live")
    tenants = [ours, Tenant(ours.workspace, "sandbox"), Tenant(ids.new(), "live")]

    tags = {vault.tag(tenant, kind, "+13125550199") for tenant in tenants for kind in ("phone", "ref")}

    assert len(tags) == 6
    assert vault.tag(ours, "phone", "+13125550199") in tags


async def test_a_secret_of_the_house_opens_only_where_it_was_sealed(
    database: Database, tenant: Tenant, vault: Vault, second: Vault
) -> None:
    async with database.transaction(tenant) as tx:
        sealed = vault.seal_own(tx, b"whsec", b"endpoint-1")

    assert second.open_own(sealed, b"endpoint-1") == b"whsec"
    with pytest.raises(InvalidTag):
        second.open_own(sealed, b"endpoint-2")
