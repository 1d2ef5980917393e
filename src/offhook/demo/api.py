"""The public API as a customer's own program calls it: a key, JSON, and patience with 429 and 503."""

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson

from offhook.errors import OffhookError

_PATIENCE = 20
# An advance answers after 60 s at the latest; a busy machine may add to that.
_TIMEOUT_S = 180.0


class ApiRefused(OffhookError):
    """The API said no; `detail` is what it said."""


class Api:
    """One key at one installation. Use it as an async context manager."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url.rstrip("/")
        self._key = key
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        self._session = aiohttp.ClientSession(headers={"authorization": f"Bearer {self._key}"}, timeout=timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def get(self, path: str, **query: str | int) -> Any:
        """The object at `path`. Raises ApiRefused."""
        return await self._send("GET", path, params=query)

    async def post(self, path: str, body: Any = None) -> Any:
        """Post a JSON body. Raises ApiRefused for any answer but 2xx."""
        return await self._send("POST", path, json=body if body is not None else {})

    async def patch(self, path: str, body: Any) -> Any:
        """Merge `body` into the object. Raises ApiRefused."""
        return await self._send("PATCH", path, json=body)

    async def delete(self, path: str) -> None:
        """Delete the object. Raises ApiRefused."""
        await self._send("DELETE", path)

    async def upload(self, path: str, name: str, content: bytes, fields: dict[str, str]) -> Any:
        """Post a file with form fields beside it. Raises ApiRefused."""
        form = aiohttp.FormData({**fields})
        form.add_field("file", content, filename=name, content_type="text/csv")
        return await self._send("POST", path, data=form)

    async def pages(self, path: str, **query: str | int) -> AsyncIterator[list[Any]]:
        """A list, page by page of 1,000."""
        cursor: dict[str, str] = {}
        while True:
            found = await self.get(path, **query, limit=1000, **cursor)
            yield found["data"]
            if not found["has_more"]:
                return
            cursor = {"after": found["next_cursor"]}

    async def _send(self, method: str, path: str, **content: Any) -> Any:
        assert self._session is not None, "use it as a context manager"
        for _ in range(_PATIENCE):
            async with self._session.request(method, self.url + path, **content) as answer:
                body = await answer.read()
            if answer.status < 300:
                return orjson.loads(body) if body else None
            if answer.status not in (429, 503):
                break
            await asyncio.sleep(float(answer.headers.get("retry-after", "1")))
        raise ApiRefused(
            f"http_{answer.status}", f"{method} {path} was answered {answer.status}: {body.decode()[:500]}"
        )
