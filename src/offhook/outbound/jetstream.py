"""NATS JetStream: messages that are stored once the server says so. The one file that knows its client, `nats-py`.

The guard cannot see into that client, so it is led only to servers that the operator lists. It never follows what
a server tells of its cluster: a connection that is lost is made anew, to the same address, when it is next needed.
"""

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from offhook.outbound.identity import Identity, NotAnIdentity, Trust

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js import JetStreamContext

_CONNECT_S = 5.0
_CLOSE_S = 0.5
_KEPT = 64
_HEAD = b"NATS/1.0\r\n\r\n"
_TOO_LARGE = 10054  # JSStreamMessageExceedsMaximumErr of the server
_OVERLOADED = 503


@dataclass(frozen=True, slots=True)
class Account:
    """Who we are to a NATS server: at most one of user and password, token, nkey seed, JWT and its seed."""

    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    seed: str = field(default="", repr=False)
    jwt: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Server:
    """One server, by `host:port`, as one account. `tls`: who we are is told, and messages go, only when it is encrypted."""

    address: str
    tls: bool
    account: Account = Account()
    identity: Identity | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """A stream has it. `duplicate`: it had it before."""

    duplicate: bool


@dataclass(frozen=True, slots=True)
class NotStored:
    """No stream is known to have it. `never`: none will take it; `busy`: the server has too much to do."""

    code: str
    text: str
    never: bool = False
    busy: bool = False


_UNREACHABLE = NotStored("nats_unreachable", "the NATS server did not accept a connection in time")
_LOST = NotStored("nats_connection_lost", "the connection to the NATS server broke before it had confirmed the message")
_LOGIN = NotStored("nats_login", "the NATS server did not accept the credentials of this endpoint")
_NO_PERMISSION = NotStored(
    "nats_no_permission",
    "the NATS user may not publish to this subject, or not subscribe to _INBOX.>, where the confirmation comes",
)
_NO_STREAM = NotStored("nats_no_stream", "no stream takes this subject; create one that has it among its subjects")
_NO_ACK = NotStored("nats_no_ack", "the NATS server did not confirm in time that the message is stored")
_TLS = NotStored("nats_tls", "no trusted TLS connection to the NATS server came about")
_TOO_LARGE_FOR_IT = NotStored(
    "message_too_large", "the message is larger than the NATS server or the stream takes", never=True
)
_NOT_INSTALLED = NotStored(
    "nats_not_installed", "this installation lacks the client for NATS; its operator installs offhook[nats]"
)


def is_installed() -> bool:
    """Whether the client is there."""
    return find_spec("nats") is not None


class JetStreams:
    """The connections of one process: one for each server and account. Make one per event loop, close it at the end."""

    def __init__(self, kept: int = _KEPT) -> None:
        """Of more than `kept` connections, the longest unused are closed."""
        self._kept = kept
        self._connections: OrderedDict[Server, _Connection] = OrderedDict()

    async def publish(
        self, server: Server, subject: str, body: bytes, headers: Mapping[str, str], timeout_s: float
    ) -> Stored | NotStored:
        """Publish, and wait until a stream has it. Raises nothing for what the network or the server does.

        A stream that saw the same `Nats-Msg-Id` within its window keeps one of them.
        """
        if not is_installed():
            return _NOT_INSTALLED
        try:
            async with asyncio.timeout(timeout_s):
                connection = await self._connected(server)
                if isinstance(connection, NotStored):
                    return connection
                return await connection.publish(subject, body, dict(headers), timeout_s)
        except TimeoutError:
            return _NO_ACK if self._is_connected(server) else _UNREACHABLE

    async def close(self) -> None:
        """Close every connection. Idempotent."""
        connections = list(self._connections.values())
        self._connections.clear()
        for one in connections:
            await one.close()

    def _is_connected(self, server: Server) -> bool:
        found = self._connections.get(server)
        return found is not None and found.is_up

    async def _connected(self, server: Server) -> "_Connection | NotStored":
        connection = self._connections.get(server)
        if connection is None:
            connection = self._connections[server] = _Connection(server)
        self._connections.move_to_end(server)
        while len(self._connections) > self._kept and (idle := self._longest_idle()):
            await self._connections.pop(idle).close()
        return await connection.up() or connection

    def _longest_idle(self) -> Server | None:
        last = next(reversed(self._connections))
        return next((key for key, one in self._connections.items() if not one.under_way and key != last), None)


class _Connection:
    """One server as one account: connected when it is needed, by one of those who need it."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._client: Client | None = None
        self._stream: JetStreamContext | None = None
        self._connecting: asyncio.Task[NotStored | None] | None = None
        self._waiting: dict[asyncio.Future[NotStored], str] = {}

    @property
    def is_up(self) -> bool:
        return self._client is not None and self._client.is_connected

    @property
    def under_way(self) -> bool:
        return bool(self._waiting) or self._connecting is not None

    async def up(self) -> NotStored | None:
        """None when the connection stands."""
        if self.is_up:
            return None
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(self._is_over)
        return await asyncio.shield(self._connecting)  # whoever gives up leaves it to the others

    async def publish(self, subject: str, body: bytes, headers: dict[str, str], timeout_s: float) -> Stored | NotStored:
        if self._client is None or self._stream is None:  # crowded out since
            return _LOST
        if _size(body, headers) > self._client.max_payload:  # the server would end the connection of all
            return _TOO_LARGE_FOR_IT
        ended: asyncio.Future[NotStored] = asyncio.get_running_loop().create_future()
        self._waiting[ended] = subject
        ack = asyncio.ensure_future(self._stream.publish(subject, body, timeout=timeout_s, headers=headers))
        ack.add_done_callback(_take_note)
        try:
            either: set[asyncio.Future[Any]] = {ack, ended}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._waiting[ended]
            if not ack.done():
                ack.cancel()
        return ended.result() if ended.done() else _read(ack.exception(), ack)

    async def close(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        client, self._client = self._client, None
        if client is not None:
            await _close(client)

    def _is_over(self, _: "asyncio.Task[NotStored | None]") -> None:
        self._connecting = None

    async def _connect(self) -> NotStored | None:
        from nats.aio.client import Client

        client = Client()
        heard: list[Exception] = []
        try:
            async with asyncio.timeout(_CONNECT_S):
                trust = await asyncio.to_thread(_trust, self._server.identity)
                options = self._options(trust, partial(_told_to, trust, self._server.tls))
                await client.connect(error_cb=partial(self._on_error, heard), **options)
                _must_be_encrypted(trust, self._server.tls)
        except Exception as failure:
            await _close(client)
            return _why_not_connected([failure, *heard])
        except asyncio.CancelledError:
            await _close(client)
            raise
        self._client, self._stream = client, client.jetstream()
        return None

    def _options(self, trust: Trust, told: Callable[[str], object]) -> dict[str, Any]:
        server, account = self._server, self._server.account
        scheme = "tls" if server.tls else "nats"
        options: dict[str, Any] = {
            "servers": [f"{scheme}://{server.address}"],
            "name": "offhook",
            "disconnected_cb": self._on_lost,
            "allow_reconnect": False,  # a client that reconnects goes where the server sends it
            "max_reconnect_attempts": 1,
            "reconnect_time_wait": 0,
            "tls": trust,
        }
        options |= {name: told(value) for name in ("user", "password", "token") if (value := getattr(account, name))}
        if account.jwt:
            options["user_credentials"] = _as_file(account)
        elif account.seed:
            options["nkeys_seed_str"] = account.seed
        return options

    async def _on_lost(self) -> None:
        self._end(_LOST, lambda _: True)

    async def _on_error(self, heard: list[Exception], failure: Exception) -> None:
        heard.append(failure)
        told = str(failure)  # of the server, for which the client has no other shape; it is read and not repeated
        if "permissions violation" in told.lower():
            ours = 'for subscription to "_inbox' in told.lower()
            self._end(_NO_PERMISSION, lambda subject: ours or f'"{subject}"' in told)

    def _end(self, why: NotStored, concerns: Any) -> None:
        for waiting, subject in self._waiting.items():
            if not waiting.done() and concerns(subject):
                waiting.set_result(why)


async def _close(client: "Client") -> None:
    # After a TLS handshake that failed the client waits for the end of a connection that has ended.
    with suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_S):
            await client.close()


class _NotEncrypted(Exception):
    """The client takes a server that offers no TLS by its word, whatever the URL says: a password would go in clear."""


def _must_be_encrypted(trust: Trust, tls: bool) -> None:
    if tls and not trust.begun:
        raise _NotEncrypted


def _told_to(trust: Trust, tls: bool, secret: str) -> Callable[[], str]:
    """What the client asks for once it has spoken with the server, as far as it should."""

    def tell() -> str:
        _must_be_encrypted(trust, tls)
        return secret

    return tell


def _take_note(ack: "asyncio.Future[Any]") -> None:
    """Of its failure, lest asyncio complain that nobody did: when the connection breaks, both come at once."""
    if not ack.cancelled():
        ack.exception()


def _why_not_connected(failures: list[Exception]) -> NotStored:
    import nats.errors

    for failure in failures:
        told = str(failure).lower()
        if isinstance(failure, nats.errors.AuthorizationError) or "authorization" in told or "authentication" in told:
            return _LOGIN
        if isinstance(failure, ssl.SSLError | NotAnIdentity | _NotEncrypted) or "secure connection" in told:
            return _TLS
        if failure.__class__.__module__.partition(".")[0] == "nkeys" or isinstance(failure, ValueError):
            return _LOGIN  # the seed is none
    return _UNREACHABLE


def _read(failure: BaseException | None, ack: "asyncio.Future[Any]") -> Stored | NotStored:
    import nats.errors
    import nats.js.errors

    match failure:
        case None:
            return Stored(bool(ack.result().duplicate))
        case nats.js.errors.NoStreamResponseError():
            return _NO_STREAM
        case nats.errors.MaxPayloadError():
            return _TOO_LARGE_FOR_IT
        case nats.js.errors.APIError(err_code=int(number)) if number == _TOO_LARGE:
            return _TOO_LARGE_FOR_IT
        case nats.js.errors.APIError(code=code, err_code=number):
            text = f"the stream did not take the message (error {number} of JetStream); it may be full or sealed"
            return NotStored("nats_not_stored", text, busy=code == _OVERLOADED)
        case TimeoutError():
            return _NO_ACK
        case nats.errors.Error() | OSError():
            return _LOST
        case _:
            return NotStored("nats_protocol", "what answered was no JetStream; is it switched on at this server?")


def _size(body: bytes, headers: Mapping[str, str]) -> int:
    return len(_HEAD) + len(body) + sum(len(name.encode()) + len(value.encode()) + 4 for name, value in headers.items())


def _as_file(account: Account) -> object:
    """The text of a `.creds` file, which the client reads from memory when it comes so."""
    from nats.aio.client import RawCredentials

    return RawCredentials(
        f"-----BEGIN NATS USER JWT-----\n{account.jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{account.seed}\n------END USER NKEY SEED------\n"
    )


def _trust(identity: Identity | None) -> Trust:
    if identity is not None:
        return identity.trust()
    trust = Trust(ssl.PROTOCOL_TLS_CLIENT)
    trust.load_default_certs()
    return trust
