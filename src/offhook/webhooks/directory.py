"""Who listens: each tenant's endpoints in memory, never older than the transaction that asks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from offhook.db import Database, Tenant, Tx, Wakeups
from offhook.privacy import Vault
from offhook.webhooks import store
from offhook.webhooks.globs import matches
from offhook.webhooks.health import Health
from offhook.webhooks.signing import Secret, Signer

SENDABLE = frozenset({"active", "failing"})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint as the lane sees it. `troubled`: a success would change its health."""

    id: UUID
    url: str = field(repr=False)
    events: tuple[str, ...]
    status: str
    troubled: bool
    signer: Signer = field(repr=False)

    @property
    def sendable(self) -> bool:
        return self.status in SENDABLE


class Book:
    """The endpoints of one tenant as of one generation."""

    def __init__(self, generation: int, endpoints: Sequence[Endpoint]) -> None:
        self.generation = generation
        self.endpoints = {endpoint.id: endpoint for endpoint in endpoints}
        self._listeners: dict[str, tuple[Endpoint, ...]] = {}

    def listeners(self, event_type: str) -> tuple[Endpoint, ...]:
        """The endpoints that get events of this type; those that still wait for their test get none."""
        found = self._listeners.get(event_type)
        if found is None:
            found = self._listeners[event_type] = tuple(
                endpoint
                for endpoint in self.endpoints.values()
                if endpoint.status != "pending_test" and matches(endpoint.events, event_type)
            )
        return found


class Directory:
    """The books of a process."""

    def __init__(self, database: Database, vault: Vault, wakeups: Wakeups) -> None:
        self._database = database
        self._vault = vault
        self._wakeups = wakeups
        self._books: dict[Tenant, Book] = {}
        wakeups.hear("endpoints", self._hear)
        wakeups.on_reconnect(self._books.clear)

    async def changed(self, tx: Tx) -> None:
        """An endpoint of this tenant changes in this transaction: everybody reads the endpoints anew."""
        generation = await store.raise_generation(tx)
        workspace, environment = tx.tenant.workspace, tx.tenant.environment
        tx.on_commit(lambda: self._wakeups.send(f"endpoints:{workspace}:{environment}:{generation}"))

    async def book(self, tx: Tx) -> Book:
        """The endpoints as far as this process knows; `read` when they turn out to be older than the tenant's generation."""
        return self._books.get(tx.tenant) or await self.read(tx)

    def known(self, tenant: Tenant) -> Book | None:
        """The endpoints as far as this process knows; None when it must ask first."""
        return self._books.get(tenant)

    async def read(self, tx: Tx) -> Book:
        """The endpoints as this transaction sees them."""
        book = self._open(*await store.read_all(tx, tx.tenant))
        # Not before the commit: what this transaction itself has changed may yet be rolled back.
        tx.on_commit(lambda: self._remember(tx.tenant, book))
        return book

    async def latest(self, tenant: Tenant) -> Book:
        """The endpoints outside any transaction: as committed, give or take the milliseconds of a wake-up."""
        if (book := self._books.get(tenant)) is None:
            async with self._database.engine() as tx:
                book = self._open(*await store.read_all(tx, tenant))
            self._remember(tenant, book)
        return book

    def _open(self, generation: int, rows: Sequence[store.Listed]) -> Book:
        return Book(generation, [self._endpoint(row) for row in rows])

    def _endpoint(self, row: store.Listed) -> Endpoint:
        secret = open_secret(self._vault, row.id, row.secret)
        troubled = Health(row.status, None, row.failures_in_row, None, None).troubled
        return Endpoint(row.id, row.url, tuple(row.events), row.status, troubled, Signer([secret]))

    def _remember(self, tenant: Tenant, book: Book) -> None:
        known = self._books.get(tenant)
        if known is None or known.generation < book.generation:
            self._books[tenant] = book

    def _hear(self, detail: str) -> None:
        workspace, environment, generation = detail.split(":")
        tenant = Tenant(UUID(workspace), "live" if environment == "live" else "sandbox")
        known = self._books.get(tenant)
        if known is not None and known.generation < int(generation):
            del self._books[tenant]


def seal_secret(vault: Vault, tx: Tx, endpoint: UUID, secret: Secret) -> bytes:
    """The secret as it is stored: it opens at this endpoint only."""
    return vault.seal_own(tx, secret.key, _place(endpoint))


def open_secret(vault: Vault, endpoint: UUID, sealed: bytes) -> Secret:
    return Secret(vault.open_own(sealed, _place(endpoint)))


def _place(endpoint: UUID) -> bytes:
    return b"endpoint:" + endpoint.bytes
