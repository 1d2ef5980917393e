"""Provider accounts: a secret goes in and never comes out, and the next call uses what was changed."""

from typing import Any

import pytest

from offhook import ids
from offhook.db import Database, Tenant, Tx, Wakeups
from offhook.errors import Conflict, Invalid, NotFound
from offhook.http import Page
from offhook.privacy import Vault
from offhook.providers import ProviderAccounts, Providers, meaning
from offhook.providers.accounts import AccountChange, AccountIn
from offhook.providers.contract import Account, Capability, Cause, Platform


class Adapter:
    """Remembers the account that it was built for."""

    capabilities = frozenset({Capability.PLACE})

    def __init__(self, account: Account) -> None:
        self.account = account


@pytest.fixture
def providers(vault: Vault, wakeups: Wakeups) -> Providers:
    build: Any = Adapter
    platform = Platform("acme", "Acme Voice", Adapter.capabilities, "documented", build)
    return Providers(vault, wakeups, [platform], "https://hub.example/")


@pytest.fixture
def accounts(providers: Providers) -> ProviderAccounts:
    return ProviderAccounts(providers)


async def made(tx: Tx, accounts: ProviderAccounts, **fields: Any) -> dict[str, Any]:
    body = {"provider": "acme", "name": "main", "secret": {"token": "s3cret-value"}, **fields}
    return await accounts.create(tx, AccountIn(**body))


async def test_a_secret_is_sealed_and_never_shown(
    database: Database, tenant: Tenant, accounts: ProviderAccounts, providers: Providers
) -> None:
    async with database.transaction(tenant) as tx:
        shown = await made(tx, accounts)
        (stored,) = await tx.rows("select secret from provider_account")
        account = await providers.account(tx, ids.read("pac", shown["id"]))

    assert shown["secret"] == {"token": "***"}
    assert b"s3cret" not in stored[0]
    assert account.secret == {"token": "s3cret-value"}
    assert "s3cret" not in repr(account)


async def test_the_next_call_uses_the_changed_account(
    database: Database, tenant: Tenant, accounts: ProviderAccounts, providers: Providers
) -> None:
    async with database.transaction(tenant) as tx:
        id = ids.read("pac", (await made(tx, accounts))["id"])
        before: Any = await providers.for_account(tx, id)
        again: Any = await providers.for_account(tx, id)
        change = AccountChange(settings={"region": "eu"}, secret={"pin": "1"})
        await accounts.change(tx, id, change, frozenset({"settings", "secret"}), None)
    async with database.transaction(tenant) as tx:
        after: Any = await providers.for_account(tx, id)

    assert before is again
    assert (after.account.settings, after.account.secret) == ({"region": "eu"}, {"token": "s3cret-value", "pin": "1"})


async def test_platforms_call_back_under_the_public_url(
    database: Database, tenant: Tenant, accounts: ProviderAccounts, providers: Providers
) -> None:
    async with database.transaction(tenant) as tx:
        shown = await made(tx, accounts)
        account = await providers.account(tx, ids.read("pac", shown["id"]))

    assert account.callback_url == f"https://hub.example/in/acme/{shown['id']}"


async def test_a_platform_without_an_adapter_is_named_as_wrong(
    database: Database, tenant: Tenant, accounts: ProviderAccounts
) -> None:
    async with database.transaction(tenant) as tx:
        with pytest.raises(Invalid) as wrong:
            await made(tx, accounts, provider="acne")

    assert wrong.value.code == "no_such_provider"


async def test_two_accounts_of_a_platform_have_two_names(
    database: Database, tenant: Tenant, accounts: ProviderAccounts
) -> None:
    async with database.transaction(tenant) as tx:
        await made(tx, accounts)
        with pytest.raises(Conflict):
            await made(tx, accounts)


async def test_one_account_is_the_default(
    database: Database, tenant: Tenant, accounts: ProviderAccounts, providers: Providers
) -> None:
    async with database.transaction(tenant) as tx:
        await made(tx, accounts, name="a", is_default=True)
        latest = await made(tx, accounts, name="b", is_default=True)
        preferred = await providers.preferred(tx, "acme")
        shown = await accounts.list(tx, Page())

    assert preferred is not None
    assert ids.show("pac", preferred.id) == latest["id"]
    assert [one["is_default"] for one in shown] == [False, True]


async def test_a_strangers_account_is_not_found(
    database: Database, tenant: Tenant, stranger: Tenant, accounts: ProviderAccounts, providers: Providers
) -> None:
    async with database.transaction(tenant) as tx:
        id = ids.read("pac", (await made(tx, accounts))["id"])
    async with database.transaction(stranger) as tx:
        with pytest.raises(NotFound):
            await providers.for_account(tx, id)


async def test_an_unused_account_can_be_deleted(database: Database, tenant: Tenant, accounts: ProviderAccounts) -> None:
    async with database.transaction(tenant) as tx:
        id = ids.read("pac", (await made(tx, accounts))["id"])
        await accounts.delete(tx, id)
        with pytest.raises(NotFound):
            await accounts.find(tx, id)


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (Cause(sip=486), "busy"),
        (Cause(q850=17), "busy"),
        (Cause(sip=603, q850=21), "declined"),
        (Cause(sip=403, q850=21), "auth_or_permission"),
        (Cause(sip=607), "blocked_as_spam"),
    ],
)
def test_the_cause_table_reads_the_sip_code_before_the_coarser_one(cause: Cause, reason: str) -> None:
    found = meaning(cause)

    assert found is not None
    assert found.reason == reason


def test_a_cause_that_the_table_does_not_hold_means_nothing() -> None:
    assert meaning(Cause(sip=699)) is None
    assert meaning(Cause(reason="made_up")) is None
