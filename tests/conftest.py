"""What a test stands on: a database of its own, keys, the log, a tenant, and a clock that can be moved."""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from offhook import access, ids
from offhook.db import Database, Tenant, Wakeups
from offhook.db.testing import Template, running_server
from offhook.events import Log
from offhook.privacy import KeyRing, Vault


class TimeTravel:
    """Moves a sandbox's clock; the real one stays."""

    def __init__(self, database: Database, tenant: Tenant) -> None:
        self._database = database
        self._tenant = tenant

    async def to(self, instant: datetime) -> None:
        """It is `instant` now, and time goes on from there."""
        async with self._database.transaction(self._tenant) as tx:
            await access.set_clock(tx, instant - tx.wall)

    async def forward(self, by: timedelta) -> None:
        """It is later by that much."""
        async with self._database.transaction(self._tenant) as tx:
            await access.set_clock(tx, tx.offset + by)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    with running_server(tmp_path_factory.mktemp("postgres")) as admin_url:
        template = Template(admin_url)
        yield template
        template.drop()


@pytest.fixture
def database_url(template: Template) -> Iterator[str]:
    with template.copied() as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing.open(tmp_path / "keyring.json", create=True)


@pytest.fixture
async def wakeups(database_url: str) -> AsyncIterator[Wakeups]:
    wakeups = Wakeups(database_url)
    await wakeups.start()
    yield wakeups
    await wakeups.stop()


@pytest.fixture
def vault(ring: KeyRing, wakeups: Wakeups) -> Vault:
    return Vault(ring, wakeups)


@pytest.fixture
def log(vault: Vault) -> Log:
    return Log(vault)


@pytest.fixture
async def tenant(database: Database) -> Tenant:
    """The sandbox of a new workspace."""
    return await a_workspace(database, "sandbox")


@pytest.fixture
async def live_tenant(tenant: Tenant) -> Tenant:
    """The live half of the same workspace."""
    return Tenant(tenant.workspace, "live")


@pytest.fixture
async def stranger(database: Database) -> Tenant:
    """The sandbox of another workspace, which must never see anything of `tenant`."""
    return await a_workspace(database, "sandbox")


@pytest.fixture
def clock(database: Database, tenant: Tenant) -> TimeTravel:
    """Moves the tenant's clock."""
    return TimeTravel(database, tenant)


async def a_workspace(database: Database, environment: str) -> Tenant:
    live = Tenant(ids.new(), "live")
    async with database.transaction(live) as tx:
        await access.create_workspace(tx, "Acme")
    return live if environment == "live" else Tenant(live.workspace, "sandbox")
