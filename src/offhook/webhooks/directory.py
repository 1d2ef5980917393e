"""Who listens: each tenant's endpoints in memory, never older than the transaction that asks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from offhook.db import Database, Tenant, Tx, Wakeups
from offhook.expressions import Filter
from offhook.privacy import Vault
from offhook.webhooks import store
from offhook.webhooks.credentials import ClientCredentials, headers_of
from offhook.webhooks.endpoint_settings import EndpointSettings, settings_of
from offhook.webhooks.globs import matches
from offhook.webhooks.proofs import Proofs, Signing
from offhook.webhooks.rendering import USUAL, Rendering
from offhook.webhooks.schedule import Schedule
from offhook.webhooks.signing import Signer

SENDABLE = frozenset({"active", "failing"})


def lease_for(timeout_s: float) -> timedelta:
    """30 seconds for the usual time-out."""
    return timedelta(seconds=20 + timeout_s)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint as the lane sees it."""

    id: UUID
    url: str = field(repr=False)
    events: tuple[str, ...]
    status: str
    settings: EndpointSettings = field(repr=False)
    proofs: Proofs = field(repr=False)
    # Made of these once, for every event asks.
    filter: Filter | None = field(init=False, repr=False, compare=False)
    rendering: Rendering = field(init=False, compare=False)
    word: str | None = field(init=False, compare=False)
    schedule: Schedule = field(init=False, repr=False, compare=False)
    final: frozenset[int] = field(init=False, compare=False)
    proof: Mapping[str, str] = field(init=False, repr=False, compare=False)
    """The headers of its credentials, but for a token that has to be got."""
    usual: bool = field(init=False, compare=False)
    """Whether its requests bear no headers but those that every request bears."""
    _signing: Signing = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        settings, rendering = self.settings, self.settings.rendering
        second, credentials = settings.second_signature, self.proofs.credentials
        made = {
            "filter": settings.compiled,
            "rendering": rendering,
            "word": rendering.word,
            "schedule": settings.schedule,
            "final": frozenset(settings.retry.final_statuses),
            "proof": {} if isinstance(credentials, ClientCredentials) else headers_of(credentials),
            "usual": rendering == USUAL and not settings.headers and not second and self.proofs.usual,
            "_signing": Signing(self.proofs.keys, second.form if second else None),
        }
        for name, value in made.items():
            object.__setattr__(self, name, value)

    def signer_at(self, now: datetime) -> Signer:
        """What signs its messages at `now`."""
        return self._signing.at(now)

    def takes(self, *, test: bool) -> bool:
        """Whether it is sent this now: nothing but a test while it is paused, disabled, or to be tested first."""
        return test or self.status in SENDABLE

    @property
    def in_order(self) -> bool:
        return self.settings.ordering == "per_subject"

    @property
    def lease(self) -> timedelta:
        """How long a delivery to it is one process's own: long enough for the slowest answer and the writing of it."""
        return lease_for(self.settings.timeout_s)


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
        self._heard: dict[Tenant, int] = {}
        """The newest generation that was told of: a book that was read meanwhile may be older."""
        self._deaf_spells = 0
        wakeups.hear("endpoints", self._hear)
        wakeups.on_reconnect(self._forget)

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
        spell = self._deaf_spells
        book = self._open(*await store.read_all(tx, tx.tenant))
        # Not before the commit: what this transaction itself has changed may yet be rolled back.
        tx.on_commit(lambda: self._remember(tx.tenant, book, spell))
        return book

    async def latest(self, tenant: Tenant) -> Book:
        """The endpoints outside any transaction: as committed, give or take the milliseconds of a wake-up."""
        return self._books.get(tenant) or await self._reread(tenant)

    async def endpoint(self, tenant: Tenant, id: UUID) -> Endpoint | None:
        """One endpoint, as `latest` has it; None when the database says that it is gone: it may be newer than the wake-up."""
        book = await self.latest(tenant)
        return book.endpoints.get(id) or (await self._reread(tenant)).endpoints.get(id)

    async def _reread(self, tenant: Tenant) -> Book:
        spell = self._deaf_spells
        async with self._database.engine() as tx:
            book = self._open(*await store.read_all(tx, tenant))
        self._remember(tenant, book, spell)
        return book

    def _open(self, generation: int, rows: Sequence[store.Listed]) -> Book:
        return Book(generation, [self._endpoint(row) for row in rows])

    def _endpoint(self, row: store.Listed) -> Endpoint:
        proofs = Proofs.open(self._vault, row.id, row.secret)
        settings = settings_of(row.settings)
        return Endpoint(row.id, row.url, tuple(row.events), row.status, settings, proofs)

    def _remember(self, tenant: Tenant, book: Book, spell: int) -> None:
        """Keep it, unless there is or was word of a newer one, or such word may have been missed since it was read."""
        known = self._books.get(tenant)
        newest = max(self._heard.get(tenant, 0), known.generation if known else 0)
        if book.generation >= newest and spell == self._deaf_spells:
            self._books[tenant] = book

    def _hear(self, detail: str) -> None:
        workspace, environment, generation = detail.split(":")
        tenant = Tenant(UUID(workspace), "live" if environment == "live" else "sandbox")
        self._heard[tenant] = max(int(generation), self._heard.get(tenant, 0))
        known = self._books.get(tenant)
        if known is not None and known.generation < int(generation):
            del self._books[tenant]

    def _forget(self) -> None:
        self._deaf_spells += 1
        self._books.clear()
