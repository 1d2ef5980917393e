"""The door: from a request to one transaction and back to an answer."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
from fastapi import Depends, Request, Response

from offhook.db import Database, Tenant, Tx
from offhook.errors import Forbidden, Unauthenticated
from offhook.privacy import Vault


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the key decides workspace and environment, and what may be done."""

    tenant: Tenant
    key_id: UUID
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """Whether the key bears this scope, or the one that includes it (`leads:*`, `*`)."""
        room = scope.partition(":")[0]
        return bool(self.scopes & {scope, f"{room}:*", "*"})


def caller(scope: str) -> Any:
    """A FastAPI dependency: the Caller, who bears `scope`. Raises Unauthenticated or Forbidden naming the scope."""

    async def who(request: Request) -> Caller:
        found: Caller | None = getattr(request.state, "caller", None)
        if found is None:
            raise Unauthenticated("no_api_key", "Send Authorization: Bearer ofk_… with an API key.")
        if not found.may(scope):
            raise Forbidden("missing_scope", f"This key lacks the scope {scope}.", param=scope)
        return found

    return Depends(who)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered: a status, a JSON body (None: no body) and headers such as ETag."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        if self.body is None:
            return Response(status_code=self.status, headers=dict(self.headers))
        return Response(orjson.dumps(self.body), self.status, dict(self.headers), "application/json")


Work = Callable[[Tx], Awaitable[Answer]]


class Door:
    """Opens the one transaction of a request."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def read(self, who: Caller, work: Work) -> Response:
        """Run `work` in a transaction of the caller's tenant."""
        async with self._database.transaction(who.tenant) as tx:
            return (await work(tx)).response()

    async def write(self, request: Request, who: Caller, work: Work) -> Response:
        """Run `work` once: the same Idempotency-Key and body get the same answer for 24 hours."""
        async with self._database.transaction(who.tenant) as tx:
            return (await work(tx)).response()


