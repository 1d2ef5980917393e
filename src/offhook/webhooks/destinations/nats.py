"""NATS JetStream: `nats://host:4222/prefix` or `tls://…`. Each event is a message on `prefix.<event type>`.

A message is the body and the headers that an HTTP receiver would get, so that its reader can verify the signature, and
`Nats-Msg-Id`: within the stream's window (two minutes unless set) a repeated one is kept once. It counts as delivered
when the stream has confirmed it. A batch that was bound for another URL before goes whole, on `prefix.batch`. A tombstone
has an id of its own, or the stream would take it for the event that it already keeps.
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from offhook import ids
from offhook.errors import Fault
from offhook.outbound.jetstream import Account, JetStreams, NotStored, Server, is_installed
from offhook.webhooks.credentials import Basic, Bearer, Credentials, NoCredentials
from offhook.webhooks.destinations.contract import (
    Capability,
    Clock,
    Consignment,
    Destination,
    Parts,
    Told,
    delivered,
    refused,
    try_again,
)
from offhook.webhooks.endpoint_settings import EndpointSettings

_SUBJECT = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_SEED = re.compile(r"SU[A-Z2-7]{56}")
_JWT_AND_SEED = re.compile(r"(eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+):(SU[A-Z2-7]{56})")
_USUAL_PORT = 4222


@dataclass(frozen=True, slots=True)
class Place:
    """What a URL names."""

    address: str
    tls: bool
    prefix: str


class Nats:
    """The JetStreams that the operator lists."""

    kinds = frozenset({"nats", "tls"})
    capabilities = frozenset({Capability.ONCE})

    def __init__(self, servers: tuple[str, ...]) -> None:
        """`servers` are the only ones that may be named, each as `host:port`."""
        self._servers = {one.lower() for one in servers}
        self._streams = JetStreams()

    def check(self, url: str, settings: EndpointSettings, credentials: Credentials) -> Fault | None:
        """Of the operator: the client and the server. Of the owner: the URL, single events, credentials that NATS knows."""
        place = place_of(url)
        if isinstance(place, Fault):
            return place
        if not is_installed():
            return Fault("url", "extra_missing", "NATS needs the extra offhook[nats]; the operator installs it.")
        if place.address not in self._servers:
            return Fault(
                "url", "server_not_listed", "The operator lists the servers that may be named in OFFHOOK_NATS_SERVERS."
            )
        if settings.batch:
            return Fault("batch", "no_batches", "Each event is a message of its own here; leave `batch` out.")
        if account_of(credentials) is None:
            return Fault(
                "authentication",
                "bad_authentication",
                "For NATS it is basic (user and password) or bearer (a token, the seed of an nkey, or user JWT:seed).",
            )
        return None

    async def send(self, consignment: Consignment) -> Told:
        """Publish it and wait for the stream's confirmation."""
        clock = Clock()
        place, account = place_of(consignment.url), account_of(consignment.credentials)
        if isinstance(place, Fault):
            return try_again(place.code, place.detail, clock.timing_ms)
        if place.address not in self._servers:
            return try_again("server_not_listed", "the operator lists this NATS server no more", clock.timing_ms)
        if account is None:
            return try_again("bad_authentication", "NATS takes basic or bearer authentication", clock.timing_ms)
        server = Server(place.address, place.tls, account, consignment.identity)
        subject, headers = f"{place.prefix}.{_topic(consignment)}", _headers(consignment)
        answer = await self._streams.publish(
            server, subject, consignment.letter.body, headers, timeout_s=consignment.timeout_s
        )
        if not isinstance(answer, NotStored):
            return delivered(clock.timing_ms)
        if answer.never:
            return refused(answer.code, answer.text, clock.timing_ms)
        return try_again(answer.code, answer.text, clock.timing_ms, busy=answer.busy)

    async def close(self) -> None:
        """Close all connections."""
        await self._streams.close()


def opened(parts: Parts) -> Destination:
    """The destination of this file."""
    return Nats(parts.settings.nats_servers)


def place_of(url: str) -> Place | Fault:
    """Where a URL points, or what is wrong with it. Pure."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _USUAL_PORT
    except ValueError:
        return _bad("This is no URL")
    if "@" in parts.netloc:
        return _bad("Credentials go into `authentication`")
    prefix = parts.path.removeprefix("/")
    if not host or parts.query or parts.fragment or not _SUBJECT.fullmatch(prefix):
        return _bad("A subject is missing or is more than letters, digits, - and _ between dots")
    return Place(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", parts.scheme.lower() == "tls", prefix)


def account_of(credentials: Credentials) -> Account | None:
    """Who we are to the server; None for credentials that NATS does not know. Pure."""
    match credentials:
        case NoCredentials():
            return Account()
        case Basic(username, password):
            return Account(user=username, password=password)
        case Bearer(token) if _SEED.fullmatch(token):
            return Account(seed=token)
        case Bearer(token) if both := _JWT_AND_SEED.fullmatch(token):
            return Account(jwt=both[1], seed=both[2])
        case Bearer(token):
            return Account(token=token)
        case _:
            return None


def _bad(why: str) -> Fault:
    return Fault("url", "bad_url", f"{why}; write it as nats://nats.example.com:4222/offhook.events.")


def _topic(consignment: Consignment) -> str:
    return "batch" if consignment.is_batch else consignment.items[0].type


def _headers(consignment: Consignment) -> dict[str, str]:
    unique = consignment.webhook_id if consignment.is_batch else ids.show("dlv", consignment.items[0].delivery)
    if buried := len(consignment.letter.buried):
        unique = f"{unique}:erased:{buried}"  # of a batch ever more of the persons may be gone, never fewer
    # A header of two lines would be two headers, and blanks at the ends are not kept.
    kept = {name: " ".join(value.split()) for name, value in consignment.headers_to_keep.items()}
    return {**kept, "Nats-Msg-Id": unique}
