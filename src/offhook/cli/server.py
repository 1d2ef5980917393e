"""A running Offhook, as the commands that speak to it see it: its URL, a key, and its API.

The one file of the command line that opens connections by itself: the server is the one that its user names, and a
stream has no end, which `outbound` with its caps is not made for.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from offhook.cli import credentials
from offhook.cli.up import base_url
from offhook.db.connection import Environment
from offhook.errors import CannotStart, Fault, Invalid, OffhookError, Unavailable
from offhook.settings import Settings

_CONNECT_S = 5.0
_ANSWER_S = 30.0
_SILENCE_S = 45.0  # the stream says every 15 seconds that it is still there
_MOST_WAITS = 20


class Refused(OffhookError):
    """The API said no; `detail` is what it said."""


@dataclass(frozen=True, slots=True)
class Way:
    """Where an Offhook runs, and the key that opens it."""

    url: str
    key: str = field(repr=False)


def way_to(settings: Settings, url: str | None, key: str | None, environment: Environment) -> Way:
    """By URL and key, or to what these settings start, by the first key of its data directory. Raises CannotStart."""
    key = key or credentials.key_in(settings.data_dir, environment)
    if key is None:
        raise CannotStart(
            "no_api_key",
            f"There is no {credentials.file_in(settings.data_dir)}. Name another directory by --data-dir, or a key by"
            " --api-key or OFFHOOK_API_KEY; `offhook keys create` makes one.",
        )
    return Way((url or base_url(settings)).rstrip("/"), key)


class Server:
    """One key at one running Offhook. `connected` makes it."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    async def get(self, path: str) -> Any:
        """The JSON at `path`. Raises Unavailable, Invalid or Refused."""
        return await self._asked("GET", path, None)

    async def post(self, path: str, body: Any) -> Any:
        """Post a JSON body; the answer's JSON. Waits where a rate limit says so. Raises Unavailable, Invalid or Refused."""
        return await self._asked("POST", path, body)

    @asynccontextmanager
    async def stream(self, types: Sequence[str], after: str | None) -> AsyncIterator[AsyncIterator[bytes]]:
        """The events of these types behind that cursor, or from now on, in pieces as they come.

        Raises Unavailable when it cannot be had for the moment or breaks off, Invalid or Refused when it never will be.
        """
        headers = {"accept": "text/event-stream"} | ({"last-event-id": after} if after else {})
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S)
        query = [("type", glob) for glob in types]
        try:
            async with self._session.get(
                f"{self.url}/v1/events/stream", params=query, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                if answer.status != 200 or answer.content_type != "text/event-stream":
                    raise _refusal(answer.status, await answer.read())
                yield answer.content.iter_any()
        except (aiohttp.ClientError, TimeoutError, OSError) as failure:
            raise self._away(failure) from None

    async def _asked(self, method: str, path: str, body: Any) -> Any:
        for _ in range(_MOST_WAITS):
            try:
                async with self._session.request(method, self.url + path, json=body, allow_redirects=False) as answer:
                    content = await answer.read()
            except (aiohttp.ClientError, TimeoutError, OSError) as failure:
                raise self._away(failure) from None
            if answer.status != 429:
                break
            await asyncio.sleep(float(answer.headers.get("retry-after", "1")))
        if answer.status >= 300:
            raise _refusal(answer.status, content)
        return orjson.loads(content)

    def _away(self, failure: Exception) -> OffhookError:
        if isinstance(failure, aiohttp.InvalidURL):
            return Invalid([Fault("--url", "bad_url", "This is not a URL, like http://127.0.0.1:8400.")])
        return Unavailable(
            "server_away",
            f"Offhook does not answer at {self.url}. Start it with `offhook up`, or say by --url where it is.",
        )


@asynccontextmanager
async def connected(way: Way) -> AsyncIterator[Server]:
    """The server on that way. Asks nobody yet."""
    async with aiohttp.ClientSession(
        headers={"authorization": f"Bearer {way.key}"},
        timeout=aiohttp.ClientTimeout(total=_ANSWER_S, sock_connect=_CONNECT_S),
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        yield Server(way.url, session)


def _refusal(status: int, content: bytes) -> OffhookError:
    """What the API's problem says, as an error of ours: what was asked wrongly, what passes by, or what does not."""
    try:
        problem = orjson.loads(content)
        code, detail, param = problem["code"], problem["detail"], problem.get("param")
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return Refused("not_offhook", f"Something answers there with {status}, and it is not Offhook. See to --url.")
    if status == 401:
        return Refused(code, f"The key is not accepted there: {detail} Name another by --api-key.")
    if status == 429 or status >= 500:
        return Unavailable(code, detail)
    if faults := problem.get("errors"):
        return Invalid([Fault(fault["param"], fault["code"], fault["detail"]) for fault in faults])
    return Invalid([Fault(param, code, detail)]) if param else Refused(code, detail)
