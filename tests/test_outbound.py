"""The guard and the wire: where a request may go, and what it costs when the other side misbehaves."""

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from offhook.outbound import (
    BODY_CAP,
    AddressFine,
    AddressRefused,
    Answer,
    NameUnknown,
    NoAnswer,
    Outbound,
    Reach,
    Request,
    UrlFine,
    UrlRefused,
    judge_address,
    judge_url,
)

PUBLIC = Reach(plain_http_loopback=False, allowed_networks=())
LOOPBACK = Reach(plain_http_loopback=True, allowed_networks=())
OFFICE = Reach(plain_http_loopback=False, allowed_networks=(ip_network("10.1.0.0/16"), ip_network("fd12::/32")))
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Seen: yes\r\n\r\nok"

Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Receiver:
    """A server on loopback that reads a request and then does what `play` says, until the other side goes away."""

    play: Play
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
                self.requests.append(head + await reader.readexactly(length))
                await self.play(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def answering(data: bytes) -> Play:
    async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return play


@asynccontextmanager
async def receiving(play: Play, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    receiver = Receiver(play)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    async with server:
        yield receiver


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    outbound = Outbound()
    yield outbound
    await outbound.close()


async def post(outbound: Outbound, url: str, reach: Reach = LOOPBACK, *, timed: bool = False) -> Answer | NoAnswer:
    return await outbound.post(url, b"{}", {"X-A": "b"}, timeout_s=2, reach=reach, timed=timed)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("", "scheme"),
        ("example.com/x", "scheme"),
        ("ftp://example.com/", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("http://example.com/", "plain_http"),
        ("https://user:pass@example.com/", "credentials"),
        ("https://:@example.com/", "credentials"),
        ("https://example.com:22/", "port"),
        ("https://example.com:0/", "port"),
        ("https://example.com:70000/", "bad_url"),
        ("https://", "host"),
        ("https:///x", "host"),
        ("https://a..b/", "host"),
        ("https://%31%32%37.0.0.1/", "host"),
        ("https://" + "a." * 130 + "com/", "host"),
        ("https://exa mple.com/", "bad_url"),
        ("https://example.com/\r\nX: y", "bad_url"),
        ("https://example.com\\@127.0.0.1/", "bad_url"),
        ("https://[::1/", "bad_url"),
        ("https://example.com/" + "a" * 2100, "bad_url"),
    ],
)
def test_a_url_that_is_not_plainly_https_to_a_host_is_refused_with_its_reason(url: str, code: str) -> None:
    verdict = judge_url(url, PUBLIC)

    assert isinstance(verdict, UrlRefused)
    assert verdict.code == code


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "0177.0x0.0.01", "127.0.0.1.", "0", "0.0.0.0",
        "１２７.0.0.1", "①②⑦.0.0.1", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]", "[::127.0.0.1]", "[fe80::1]", "[fe80::1%25eth0]", "169.254.169.254", "[fd00:ec2::254]", "0xa9fea9fe",
        "10.0.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1",
    ],
)  # fmt: skip
def test_no_notation_of_an_inner_address_passes(host: str) -> None:
    assert isinstance(judge_url(f"https://{host}/", PUBLIC), UrlRefused)


@pytest.mark.parametrize(
    "url",
    ["https://example.com", "https://8.8.8.8:8443/x?y=z", "https://[2606:4700::1111]/", "https://bücher.example/"],
)
def test_https_to_a_public_place_is_fine(url: str) -> None:
    assert isinstance(judge_url(url, PUBLIC), UrlFine)


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("169.254.169.254", "metadata"),
        ("::ffff:169.254.169.254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("127.8.8.8", "loopback"),
        ("::1", "loopback"),
        ("10.0.0.1", "private"),
        ("fc00::1", "private"),
        ("::ffff:192.168.1.1", "private"),
        ("64:ff9b::10.0.0.1", "private"),
        ("2002:a00:1::", "private"),
        ("100.127.255.255", "shared"),
        ("169.254.1.1", "link_local"),
        ("fe80::1", "link_local"),
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("255.255.255.255", "broadcast"),
        ("239.1.1.1", "multicast"),
        ("ff02::1", "multicast"),
        ("203.0.113.9", "reserved"),
        ("2001:db8::1", "reserved"),
        ("64:ff9b:1::1", "reserved"),
        ("::10.0.0.1", "reserved"),
    ],
)
def test_an_inner_address_is_refused_by_its_kind(address: str, code: str) -> None:
    verdict = judge_address(ip_address(address), PUBLIC)

    assert isinstance(verdict, AddressRefused)
    assert verdict.code == code


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_the_same_inside_an_ipv6_one(address: IPv4Address) -> None:
    mapped = IPv6Address(b"\0" * 10 + b"\xff\xff" + address.packed)
    translated = IPv6Address(ip_address("64:ff9b::").packed[:12] + address.packed)

    verdicts = {type(judge_address(one, PUBLIC)) for one in (address, mapped, translated)}

    assert len(verdicts) == 1


@given(st.ip_addresses())
def test_what_python_calls_private_is_never_let_through(address: IPv4Address | IPv6Address) -> None:
    if not address.is_global or address.is_multicast:
        embedded = address.version == 6 and (address.ipv4_mapped or address.sixtofour)
        assert embedded or isinstance(judge_address(address, PUBLIC), AddressRefused)


def test_the_operator_opens_a_network_for_https_and_plain_http_only_by_its_own_setting() -> None:
    inner = ip_address("10.1.2.3")
    plain_office = Reach(plain_http_loopback=False, allowed_networks=OFFICE.allowed_networks, plain_http=True)

    assert judge_address(inner, OFFICE) == AddressFine(inner)
    assert isinstance(judge_address(inner, OFFICE, plain=True), AddressRefused)
    assert judge_address(inner, plain_office, plain=True) == AddressFine(inner)
    assert isinstance(judge_address(ip_address("10.2.0.1"), OFFICE), AddressRefused)
    assert isinstance(judge_address(ip_address("8.8.8.8"), plain_office, plain=True), AddressRefused)


def test_no_setting_opens_the_metadata_service_of_a_cloud() -> None:
    everything = Reach(True, (ip_network("0.0.0.0/0"), ip_network("::/0")), plain_http=True)

    assert isinstance(judge_address(ip_address("169.254.169.254"), everything), AddressRefused)
    assert isinstance(judge_address(ip_address("fd00:ec2::254"), everything), AddressRefused)
    assert isinstance(judge_address(ip_address("192.168.1.1"), everything, plain=True), AddressFine)


def test_loopback_is_opened_by_its_own_setting_for_both_schemes_and_nothing_else_with_it() -> None:
    assert isinstance(judge_url("http://127.0.0.1:9000/", LOOPBACK), UrlFine)
    assert isinstance(judge_url("https://[::1]:9000/", LOOPBACK), UrlFine)
    assert isinstance(judge_url("http://10.0.0.1/", LOOPBACK), UrlRefused)
    assert isinstance(judge_url("http://8.8.8.8/", LOOPBACK), UrlRefused)


async def test_creating_an_endpoint_shows_the_address_its_name_has_now() -> None:
    async def resolve(host: str) -> list[str]:
        return {"good.example": ["8.8.8.8", "2606:4700::1111"], "mixed.example": ["8.8.8.8", "10.0.0.1"]}.get(host, [])

    outbound = Outbound(resolve)

    assert await outbound.resolve_and_judge("https://good.example/", PUBLIC) == AddressFine(ip_address("8.8.8.8"))
    mixed = await outbound.resolve_and_judge("https://mixed.example/", PUBLIC)
    assert isinstance(mixed, AddressRefused)
    assert mixed.address == ip_address("10.0.0.1")
    assert isinstance(await outbound.resolve_and_judge("https://gone.example/", PUBLIC), NameUnknown)
    assert isinstance(await outbound.resolve_and_judge("ftp://good.example/", PUBLIC), UrlRefused)
    assert await outbound.resolve_and_judge("https://8.8.4.4/", PUBLIC) == AddressFine(ip_address("8.8.4.4"))
    await outbound.close()


async def test_a_name_that_turns_inward_after_it_was_checked_is_refused_at_connect() -> None:
    addresses = iter(["8.8.8.8", "127.0.0.1"])

    async def rebinding(_: str) -> list[str]:
        return [next(addresses)]

    outbound = Outbound(rebinding)
    async with receiving(answering(OK)) as receiver:
        url = f"https://rebind.example:{receiver.port}/"
        checked = await outbound.resolve_and_judge(url, PUBLIC)
        outcome = await post(outbound, url, PUBLIC)

    assert isinstance(checked, AddressFine)
    assert isinstance(outcome, NoAnswer)
    assert outcome.code == "refused_address"
    assert outcome.never_sent
    assert receiver.connections == 0
    await outbound.close()


async def test_a_name_with_only_inner_addresses_of_several_kinds_is_not_connected_to() -> None:
    async def resolve(_: str) -> list[str]:
        return ["127.0.0.1", "10.0.0.1", "::1"]

    outbound = Outbound(resolve)
    async with receiving(answering(OK)) as receiver:
        outcome = await post(outbound, f"https://inner.example:{receiver.port}/", PUBLIC)

    assert isinstance(outcome, NoAnswer)
    assert outcome.code == "refused_address"
    assert receiver.connections == 0
    await outbound.close()


async def test_a_connection_kept_for_one_reach_never_serves_another(outbound: Outbound) -> None:
    async with receiving(answering(OK)) as receiver:
        wide = Reach(True, (ip_network("10.0.0.0/8"),))

        assert isinstance(await post(outbound, receiver.url, LOOPBACK), Answer)
        assert isinstance(await post(outbound, receiver.url, wide), Answer)
        refused = await post(outbound, receiver.url, PUBLIC)

    assert receiver.connections == 2
    assert isinstance(refused, NoAnswer)
    assert refused.code == "refused_url"


async def test_posts_to_one_receiver_share_a_connection_timed_or_not(outbound: Outbound) -> None:
    async with receiving(answering(OK)) as receiver:
        for timed in (False, True, False):
            assert isinstance(await post(outbound, receiver.url, timed=timed), Answer)

    assert receiver.connections == 1
    assert len(receiver.requests) == 3


async def test_the_receiver_gets_the_body_byte_for_byte_and_the_answer_comes_back(outbound: Outbound) -> None:
    body = b'{"a":\xff\x00}'
    async with receiving(answering(OK)) as receiver:
        answer = await outbound.post(receiver.url, body, {"Webhook-Id": "evt_1"}, timeout_s=2, reach=LOOPBACK)

    assert isinstance(answer, Answer)
    assert (answer.status, answer.body, answer.truncated) == (200, b"ok", False)
    assert answer.headers["x-seen"] == "yes"
    assert receiver.requests[0].startswith(b"POST /hook HTTP/1.1\r\n")
    assert b"Webhook-Id: evt_1\r\n" in receiver.requests[0]
    assert receiver.requests[0].endswith(b"\r\n\r\n" + body)


async def test_any_method_can_be_sent(outbound: Outbound) -> None:
    async with receiving(answering(OK)) as receiver:
        answer = await outbound.send(Request("GET", receiver.url, b"", {}, timeout_s=2), LOOPBACK)

    assert isinstance(answer, Answer)
    assert receiver.requests[0].startswith(b"GET /hook HTTP/1.1\r\n")


async def test_a_redirect_is_an_answer_and_is_not_followed(outbound: Outbound) -> None:
    async with receiving(answering(OK)) as elsewhere:
        moved = b"HTTP/1.1 302 Found\r\nLocation: " + elsewhere.url.encode() + b"\r\nContent-Length: 0\r\n\r\n"
        async with receiving(answering(moved)) as receiver:
            answer = await post(outbound, receiver.url)

    assert isinstance(answer, Answer)
    assert answer.status == 302
    assert elsewhere.connections == 0


async def test_a_cookie_is_not_brought_back(outbound: Outbound) -> None:
    async with receiving(answering(b"HTTP/1.1 204 No Content\r\nSet-Cookie: a=b\r\n\r\n")) as receiver:
        await post(outbound, receiver.url)
        answer = await post(outbound, receiver.url)

    assert isinstance(answer, Answer)
    assert answer.body == b""
    assert b"cookie" not in receiver.requests[1].lower()


async def test_an_endless_body_is_read_to_the_cap_and_its_connection_closed(outbound: Outbound) -> None:
    gone = asyncio.Event()

    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 65_536)
                await writer.drain()
        finally:
            gone.set()

    async with receiving(endless) as receiver:
        answer = await post(outbound, receiver.url)
        await asyncio.wait_for(gone.wait(), 2)

    assert isinstance(answer, Answer)
    assert (answer.status, answer.body, answer.truncated) == (200, b"x" * BODY_CAP, True)


@pytest.mark.parametrize(("size", "truncated"), [(BODY_CAP, False), (BODY_CAP + 1, True)])
async def test_exactly_sixteen_kilobytes_are_kept_whole(outbound: Outbound, size: int, truncated: bool) -> None:
    async with receiving(
        answering(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode() + b"y" * size)
    ) as receiver:
        answer = await post(outbound, receiver.url)

    assert isinstance(answer, Answer)
    assert (len(answer.body), answer.truncated) == (BODY_CAP, truncated)


async def test_a_flood_of_headers_is_capped(outbound: Outbound) -> None:
    flood = b"".join(b"X-%d: %s\r\n" % (n, b"v" * 200) for n in range(100))
    async with receiving(answering(b"HTTP/1.1 200 OK\r\n" + flood + b"Content-Length: 0\r\n\r\n")) as receiver:
        answer = await post(outbound, receiver.url)

    assert isinstance(answer, Answer)
    assert sum(len(name) + len(value) for name, value in answer.headers.items()) <= 8_192


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"])
async def test_a_receiver_that_sends_a_byte_at_a_time_is_cut_at_the_time_out(
    outbound: Outbound, beginning: bytes
) -> None:
    async def dribble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(beginning)
        while not writer.is_closing():
            writer.write(b"H")
            await asyncio.sleep(0.02)

    async with receiving(dribble) as receiver:
        outcome = await outbound.post(receiver.url, b"", {}, timeout_s=0.1, reach=LOOPBACK)

    assert isinstance(outcome, NoAnswer)
    assert outcome.code == ("timeout" if beginning else "protocol")
    assert outcome.timing_ms.total < 300
    assert not outcome.never_sent


async def test_silence_is_cut_at_the_time_out(outbound: Outbound) -> None:
    async with receiving(answering(b"")) as receiver:
        outcome = await outbound.post(receiver.url, b"", {}, timeout_s=0.05, reach=LOOPBACK, timed=True)

    assert isinstance(outcome, NoAnswer)
    assert outcome.code == "timeout"
    assert outcome.timing_ms.first_byte is None


async def test_a_closed_port_is_connect_refused_and_surely_not_sent(outbound: Outbound) -> None:
    async with receiving(answering(OK)) as receiver:
        pass

    outcome = await post(outbound, receiver.url)

    assert isinstance(outcome, NoAnswer)
    assert outcome.code == "connect_refused"
    assert outcome.never_sent
    assert str(receiver.port) not in outcome.text


@pytest.mark.parametrize(
    ("bytes_back", "code"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "reset"),
        (b"", "reset"),
    ],
)
async def test_a_broken_answer_may_have_been_received(outbound: Outbound, bytes_back: bytes, code: str) -> None:
    async def break_off(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes_back)
        writer.close()

    async with receiving(break_off) as receiver:
        outcome = await post(outbound, receiver.url)

    assert isinstance(outcome, NoAnswer)
    assert outcome.code == code
    assert not outcome.never_sent


async def test_a_name_without_an_address_is_told_apart() -> None:
    async def resolve(_: str) -> list[str]:
        raise OSError("no such host secret.example")

    outbound = Outbound(resolve)
    outcome = await post(outbound, "https://secret.example/", PUBLIC)

    assert isinstance(outcome, NoAnswer)
    assert outcome.code == "dns"
    assert "secret" not in repr(outcome)
    await outbound.close()


async def test_the_system_resolver_is_asked_when_there_is_no_other(outbound: Outbound) -> None:
    async with receiving(answering(OK)) as receiver:
        answer = await post(outbound, f"http://localhost:{receiver.port}/")

    assert isinstance(answer, Answer)


async def test_a_self_signed_receiver_is_not_trusted(outbound: Outbound, tmp_path: Path) -> None:
    tls, _ = self_signed(tmp_path)
    async with receiving(answering(OK), tls) as receiver:
        outcome = await post(outbound, f"https://127.0.0.1:{receiver.port}/")

    assert isinstance(outcome, NoAnswer)
    assert outcome.code == "tls"
    assert outcome.never_sent
    assert receiver.requests == []


async def test_a_timed_request_splits_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(_: str) -> list[str]:
        return ["127.0.0.1"]

    tls, certificate = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    outbound = Outbound(resolve)
    async with receiving(answering(OK), tls) as receiver:
        first = await post(outbound, f"https://receiver.example:{receiver.port}/", timed=True)
        second = await post(outbound, f"https://receiver.example:{receiver.port}/", timed=True)
        third = await post(outbound, f"https://receiver.example:{receiver.port}/")

    assert isinstance(first, Answer)
    parts = (first.timing_ms.dns, first.timing_ms.connect, first.timing_ms.tls)
    assert all(part is not None and part > 0 for part in parts)
    assert sum(part or 0 for part in parts) < (first.timing_ms.first_byte or 0) < first.timing_ms.total
    assert (second.timing_ms.dns, second.timing_ms.connect, second.timing_ms.tls) == (0.0, 0.0, 0.0)
    assert (third.timing_ms.dns, third.timing_ms.connect, third.timing_ms.tls) == (None, None, None)
    await outbound.close()


def test_nothing_secret_stands_in_a_repr() -> None:
    request = Request("POST", "https://h.example/?key=hidden", b"hidden", {"Authorization": "hidden"}, 1)

    assert "hidden" not in repr(request)
    assert "hidden" not in repr(judge_url(request.url, PUBLIC))


def self_signed(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A TLS server context for receiver.example and 127.0.0.1, and the file that would make one trust it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "receiver.example")])
    names = x509.SubjectAlternativeName([x509.DNSName("receiver.example"), x509.IPAddress(ip_address("127.0.0.1"))])
    now = datetime.datetime.now(datetime.UTC)
    built = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    signed = built.add_extension(names, critical=False).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "certificate.pem").write_bytes(signed.public_bytes(pem))
    (folder / "key.pem").write_bytes(private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context, folder / "certificate.pem"
