"""The wire: what a request costs when the other side misbehaves, and where it does not go."""

import asyncio
import datetime
import socket
import ssl
from collections.abc import AsyncIterator
from functools import partial
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.outbound.receivers import OK, answering, going_out, names, receiving

from offhook.outbound import AddressFine, Answer, NameUnknown, NoAnswer, Outbound, Reach, Request, UrlRefused
from offhook.outbound.lanes import Forbidden, open_socket
from offhook.outbound.reach import AddressRefused, judge_url
from offhook.outbound.wire import BODY_CAP

PUBLIC = Reach(plain_http_loopback=False, allowed_networks=())
LOOPBACK = Reach(plain_http_loopback=True, allowed_networks=())


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    async with going_out() as outbound:
        yield outbound


async def post(outbound: Outbound, url: str, reach: Reach = LOOPBACK) -> Answer:
    answer = await outbound.post(url, b"{}", {"X-A": "b"}, timeout_s=2, reach=reach)
    assert isinstance(answer, Answer)
    return answer


async def lose(outbound: Outbound, url: str, reach: Reach = LOOPBACK, *, timeout_s: float = 2) -> NoAnswer:
    outcome = await outbound.post(url, b"{}", {}, timeout_s=timeout_s, reach=reach)
    assert isinstance(outcome, NoAnswer)
    return outcome


async def test_creating_an_endpoint_shows_the_address_its_name_has_now() -> None:
    async with going_out(names(good="8.8.8.8 2606:4700::1111", mixed="8.8.8.8 10.0.0.1")) as outbound:
        ask = partial(outbound.resolve_and_judge, reach=PUBLIC)

        assert await ask("https://good.example/") == AddressFine(ip_address("8.8.8.8"))
        assert await ask("https://8.8.4.4/") == AddressFine(ip_address("8.8.4.4"))
        mixed = await ask("https://mixed.example/")
        assert isinstance(mixed, AddressRefused)
        assert mixed.address == ip_address("10.0.0.1")
        assert isinstance(await ask("https://gone.example/"), NameUnknown)
        assert isinstance(await ask("ftp://good.example/"), UrlRefused)


async def test_a_name_that_turns_inward_after_it_was_checked_is_refused_at_connect() -> None:
    addresses = iter(["8.8.8.8", "127.0.0.1"])

    async def rebinding(_: str) -> list[str]:
        return [next(addresses)]

    async with going_out(rebinding) as outbound, receiving(answering(OK)) as receiver:
        url = f"https://rebind.example:{receiver.port}/"
        checked = await outbound.resolve_and_judge(url, PUBLIC)
        outcome = await lose(outbound, url, PUBLIC)

    assert isinstance(checked, AddressFine)
    assert (outcome.code, outcome.never_sent) == ("refused_address", True)
    assert receiver.connections == 0


async def test_a_name_with_only_inner_addresses_of_several_kinds_is_not_connected_to() -> None:
    async with going_out(names(inner="127.0.0.1 10.0.0.1 ::1")) as outbound, receiving(answering(OK)) as receiver:
        outcome = await lose(outbound, f"https://inner.example:{receiver.port}/", PUBLIC)

    assert outcome.code == "refused_address"
    assert receiver.connections == 0


@pytest.mark.parametrize("addresses", ["127.0.0.1 10.0.0.1", "10.0.0.1 127.0.0.1", "127.0.0.1 fd00::1"])
async def test_one_address_out_of_reach_closes_its_name_however_the_others_are(addresses: str) -> None:
    async with going_out(names(mixed=addresses)) as outbound, receiving(answering(OK)) as receiver:
        outcome = await lose(outbound, f"http://mixed.example:{receiver.port}/")

    assert (outcome.code, outcome.never_sent) == ("refused_address", True)
    assert "private" in outcome.text
    assert receiver.connections == 0


def test_no_socket_is_opened_to_an_address_that_was_never_looked_up() -> None:
    with pytest.raises(Forbidden):
        open_socket(PUBLIC, False, (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("10.0.0.1", 443)))


async def test_a_proxy_of_the_environment_is_not_taken(outbound: Outbound, monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving(answering(OK)) as proxy, receiving(answering(OK)) as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        await post(outbound, receiver.url)

    assert (proxy.connections, receiver.connections) == (0, 1)


async def test_a_connection_kept_for_one_reach_never_serves_another(outbound: Outbound) -> None:
    async with receiving(answering(OK)) as receiver:
        await post(outbound, receiver.url, LOOPBACK)
        await post(outbound, receiver.url, Reach(True, (ip_network("10.0.0.0/8"),)))
        refused = await lose(outbound, receiver.url, PUBLIC)

    assert receiver.connections == 2
    assert refused.code == "refused_url"


async def test_posts_to_one_receiver_share_a_connection(outbound: Outbound) -> None:
    async with receiving(answering(OK)) as receiver:
        first, *later = [(await post(outbound, receiver.url)).timing_ms for _ in range(3)]

    assert first.connect > 0
    assert {(one.dns, one.connect, one.tls) for one in later} == {(0.0, 0.0, 0.0)}
    assert (first.dns, first.tls) == (0.0, 0.0)  # an address in the URL, and plain HTTP

    assert (receiver.connections, len(receiver.requests)) == (1, 3)


async def test_the_receiver_gets_the_body_byte_for_byte_and_the_answer_comes_back(outbound: Outbound) -> None:
    body = b'{"a":\xff\x00}'
    async with receiving(answering(OK)) as receiver:
        answer = await outbound.post(receiver.url, body, {"Webhook-Id": "evt_1"}, timeout_s=2, reach=LOOPBACK)

    assert isinstance(answer, Answer)
    assert (answer.status, answer.headers["x-seen"], answer.body, answer.truncated) == (200, "yes", b"ok", False)
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

    assert answer.status == 302
    assert elsewhere.connections == 0


async def test_a_cookie_is_not_brought_back(outbound: Outbound) -> None:
    async with receiving(answering(b"HTTP/1.1 204 No Content\r\nSet-Cookie: a=b\r\n\r\n")) as receiver:
        await post(outbound, receiver.url)
        await post(outbound, receiver.url)

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

    assert (answer.status, answer.body, answer.truncated) == (200, b"x" * BODY_CAP, True)


@pytest.mark.parametrize(("size", "truncated"), [(BODY_CAP, False), (BODY_CAP + 1, True)])
async def test_exactly_sixteen_kilobytes_are_kept_whole(outbound: Outbound, size: int, truncated: bool) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode()
    async with receiving(answering(head + b"y" * size)) as receiver:
        answer = await post(outbound, receiver.url)

    assert (len(answer.body), answer.truncated) == (BODY_CAP, truncated)


async def test_a_flood_of_headers_is_capped(outbound: Outbound) -> None:
    flood = b"".join(b"X-%d: %s\r\n" % (n, b"v" * 200) for n in range(100))
    async with receiving(answering(b"HTTP/1.1 200 OK\r\n" + flood + b"Content-Length: 0\r\n\r\n")) as receiver:
        answer = await post(outbound, receiver.url)

    assert 0 < sum(len(name) + len(value) for name, value in answer.headers.items()) <= 8_192


@pytest.mark.parametrize("more", [b"X-Slow: ", b"Content-Length: 500\r\n\r\n"])
async def test_a_receiver_that_sends_a_byte_at_a_time_is_cut_at_the_time_out(outbound: Outbound, more: bytes) -> None:
    async def dribble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + more)
        while not writer.is_closing():
            writer.write(b"a")
            await asyncio.sleep(0.01)

    async with receiving(dribble) as receiver:
        outcome = await lose(outbound, receiver.url, timeout_s=0.1)

    assert (outcome.code, outcome.never_sent) == ("timeout", False)
    assert 100 <= outcome.timing_ms.total < 250


async def test_silence_is_cut_at_the_time_out(outbound: Outbound) -> None:
    async with receiving(answering(b"")) as receiver:
        outcome = await lose(outbound, receiver.url, timeout_s=0.05)

    assert outcome.code == "timeout"
    assert outcome.timing_ms.first_byte is None


async def test_a_closed_port_is_connect_refused_and_surely_not_sent(outbound: Outbound) -> None:
    async with receiving(answering(OK)) as receiver:
        pass

    outcome = await lose(outbound, receiver.url)

    assert (outcome.code, outcome.never_sent) == ("connect_refused", True)
    assert str(receiver.port) not in outcome.text


HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"


@pytest.mark.parametrize(("said", "code"), [(b"SSH-2.0-OpenSSH\r\n\r\n", "protocol"), (HALF, "reset"), (b"", "reset")])
async def test_a_broken_answer_may_have_been_received(outbound: Outbound, said: bytes, code: str) -> None:
    async def break_off(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()

    async with receiving(break_off) as receiver:
        outcome = await lose(outbound, receiver.url)

    assert (outcome.code, outcome.never_sent) == (code, False)


async def test_a_name_without_an_address_is_told_apart_and_not_told_on() -> None:
    async with going_out(names()) as outbound:
        outcome = await lose(outbound, "https://secret.example/", PUBLIC)

    assert outcome.code == "dns"
    assert "secret" not in repr(outcome)


async def test_the_system_resolver_is_asked_when_there_is_no_other(outbound: Outbound) -> None:
    async with receiving(answering(OK)) as receiver:
        answer = await post(outbound, f"http://localhost:{receiver.port}/")

    assert answer.status == 200


async def test_a_self_signed_receiver_is_not_trusted(outbound: Outbound, tmp_path: Path) -> None:
    tls, _ = self_signed(tmp_path)
    async with receiving(answering(OK), tls) as receiver:
        outcome = await lose(outbound, f"https://127.0.0.1:{receiver.port}/")

    assert (outcome.code, outcome.never_sent) == ("tls", True)
    assert receiver.requests == []


async def test_every_request_splits_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tls, certificate = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with going_out(names(receiver="127.0.0.1")) as outbound, receiving(answering(OK), tls) as receiver:
        url = f"https://receiver.example:{receiver.port}/"
        new, kept = [(await post(outbound, url)).timing_ms for _ in range(2)]

    assert new.dns
    assert new.connect
    assert new.tls
    assert new.dns + new.connect + new.tls < (new.first_byte or 0) < new.total
    assert (kept.dns, kept.connect, kept.tls) == (0.0, 0.0, 0.0)


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
