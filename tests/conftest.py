"""What a test stands on: a database of its own, keys, the log, a tenant, and a clock that can be moved."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import hypothesis
import orjson
import pytest
from starlette.types import ASGIApp, Message, Scope

from offhook import access, ids
from offhook.db import Database, Tenant, Wakeups
from offhook.db.testing import Template, running_server
from offhook.events import Log
from offhook.leads import LeadIn
from offhook.privacy import KeyRing, Vault
from offhook.settings import load
from offhook.wiring import Credentials, House

# How long an example takes tells of the machine's other work, not of the code. Where CI is set hypothesis would draw the
# same examples at every run.
hypothesis.settings.register_profile("house", hypothesis.settings.get_profile("default"), deadline=None)
hypothesis.settings.load_profile("house")

LONGEST = (
    "kill/test_short.py",
    "journeys/test_crowd.py",
    "demo/test_demo.py",
    "cli/test_listen.py",
    "cli/test_parts.py",
    "cli/test_up.py",
    "receiver/test_package.py",
    "kill/test_window.py",
    "vectors/test_javascript.py",
)
"""Files of few but long tests: begun last, one of them would keep one process busy while the others have nothing to do."""

TEN_IN_NEW_YORK = datetime(2026, 11, 23, 15, tzinfo=UTC)
"""A Monday, and a legal hour from coast to coast but for the Pacific, where it is seven."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, then those with the most tests; `--no-loadscope-reorder` hands them out in this order."""
    root = Path(__file__).parent
    tests = Counter(item.path for item in items)
    turns = {root / name: turn for turn, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (turns.get(item.path, len(turns)), -tests[item.path], str(item.path)))


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


@dataclass(frozen=True, slots=True)
class Reply:
    """What the API answered."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.content)


class Client:
    """Speaks to an ASGI application in this process, as the bearer of a key."""

    def __init__(self, app: ASGIApp, key: str | None = None) -> None:
        self._app = app
        self._key = key

    async def request(
        self, method: str, path: str, body: Any = None, *, content: bytes | None = None, **headers: str
    ) -> Reply:
        """Send `body` as JSON, or `content` as it is. Headers are named with underscores."""
        sent = orjson.dumps(body) if content is None and body is not None else content or b""
        messages: list[Message] = []

        async def send(message: Message) -> None:
            messages.append(message)

        await self._app(self._scope(method, path, sent, headers), _receive_of(sent), send)
        start = messages[0]
        chunks = b"".join(message.get("body", b"") for message in messages[1:])
        return Reply(start["status"], {k.decode().lower(): v.decode() for k, v in start["headers"]}, chunks)

    async def get(self, path: str, **headers: str) -> Reply:
        return await self.request("GET", path, None, content=None, **headers)

    async def post(self, path: str, body: Any = None, **headers: str) -> Reply:
        return await self.request("POST", path, body, content=None, **headers)

    async def patch(self, path: str, body: Any = None, **headers: str) -> Reply:
        return await self.request("PATCH", path, body, content=None, **headers)

    async def delete(self, path: str, **headers: str) -> Reply:
        return await self.request("DELETE", path, None, content=None, **headers)

    @asynccontextmanager
    async def stream(self, path: str, **headers: str) -> AsyncIterator["asyncio.Queue[bytes]"]:
        """The chunks of an endless answer, as they come; the connection ends with the block."""
        chunks: asyncio.Queue[bytes] = asyncio.Queue()

        async def send(message: Message) -> None:
            if message["type"] == "http.response.body":
                await chunks.put(message.get("body", b""))

        task = asyncio.ensure_future(self._app(self._scope("GET", path, b"", headers), _receive_of(b""), send))
        try:
            yield chunks
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _scope(self, method: str, path: str, sent: bytes, headers: dict[str, str]) -> Scope:
        bare, _, query = path.partition("?")
        named = {name.replace("_", "-").lower(): value for name, value in headers.items()}
        if sent:
            named = {"content-type": "application/json", "content-length": str(len(sent)), **named}
        if self._key:
            named = {"authorization": f"Bearer {self._key}", **named}
        return {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": bare,
            "raw_path": bare.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in named.items()],
            "state": {},
        }


def _receive_of(sent: bytes) -> Any:
    messages = [{"type": "http.request", "body": sent, "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()
        raise AssertionError

    return receive


@pytest.fixture
def client_of() -> type[Client]:
    """`client_of(app, key)`: a client of an application, as the bearer of that key."""
    return Client


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


@pytest.fixture
def environ() -> dict[str, str]:
    """What the operator of `house` has set, like OFFHOOK_EGRESS_ADDRESSES. A test that wants it otherwise overrides it."""
    return {}


@pytest.fixture
async def house(database_url: str, tmp_path: Path, environ: dict[str, str]) -> AsyncIterator[House]:
    """Everything of one process over the test's database, no loop running: drain `runner`, `dispatcher`, `webhooks.sender`."""
    settings = load({"data_dir": tmp_path, "port": 0}, environ=environ)
    house = House.build(settings, database_url, engine=False, create_ring=True)
    await house.database.open()
    await house.wakeups.start()
    yield house
    await house.stop()


@pytest.fixture
async def acme(house: House) -> Credentials:
    """The keys of a workspace of the house, born as every first one: its sandbox is ready to dial."""
    return await house.new_workspace("Acme")


@pytest.fixture
async def sandbox(house: House, acme: Credentials) -> Tenant:
    """Acme's sandbox, where it is ten o'clock on a Monday in New York."""
    tenant = Tenant(ids.read("ws", acme.workspace_id), "sandbox")
    await TimeTravel(house.database, tenant).to(TEN_IN_NEW_YORK)
    return tenant


@pytest.fixture
def a_lead() -> Callable[..., LeadIn]:
    """`a_lead(phone=…, …)`: a lead that may be dialed, each with a reference and a number of its own."""
    numbers = count()

    def make(**overrides: Any) -> LeadIn:
        n = next(numbers)
        body: dict[str, Any] = {
            "client_ref_id": f"LD-{n}",
            "contact": {"first_name": "Michael", "phone": overrides.pop("phone", _fictitious(n))},
            "consent": [{"channel": "voice", "artificial_voice": True, "given_at": "2026-11-20T15:02:11Z"}],
        }
        return LeadIn.model_validate({**body, **overrides})

    return make


def _fictitious(n: int) -> str:
    """The nth number that is nobody's, all on New York's clock."""
    area = ("212", "215", "305", "404", "407", "412", "516", "585", "617", "703", "704", "718", "803", "813", "917")
    return f"+1{area[n // 100]}55501{n % 100:02d}"


async def a_workspace(database: Database, environment: str) -> Tenant:
    live = Tenant(ids.new(), "live")
    async with database.transaction(live) as tx:
        await access.create_workspace(tx, "Acme")
    return live if environment == "live" else Tenant(live.workspace, "sandbox")
