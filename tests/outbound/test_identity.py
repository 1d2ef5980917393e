"""Client certificates and CAs of a receiver's own: what is taken for one, and what it does at the wire."""

import asyncio
import os
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tests.outbound.authority import Authority, Pair, key_pem, serving
from tests.outbound.receivers import OK, Receiver, answering, going_out, receiving, refusing

from offhook.outbound import Answer, NoAnswer, Outbound, Reach
from offhook.outbound.identity import Identity, NotAnIdentity

LOOPBACK = Reach(plain_http_loopback=True, allowed_networks=())
NOW = datetime.now(UTC)
ACME = Authority("Acme CA")
OTHER = Authority("Other CA")
CLIENT = ACME.pair("offhook")


def identity(client: Pair | None = CLIENT, ca: Authority | None = ACME) -> Identity:
    shown = (client.certificate, client.private_key) if client else ("", "")
    return Identity.parse(*shown, ca.certificate if ca else "", now=NOW)


@asynccontextmanager
async def wanting_clients() -> AsyncIterator[Receiver]:
    async with receiving(answering(OK), serving(ACME.pair(), clients_of=ACME)) as receiver:
        yield receiver


async def post(outbound: Outbound, receiver: Receiver, who: Identity | None) -> Answer | NoAnswer:
    url = receiver.url.replace("http:", "https:")
    return await outbound.post(url, b"{}", {}, timeout_s=5, reach=LOOPBACK, identity=who)


async def code_of(outbound: Outbound, receiver: Receiver, who: Identity | None) -> int | str:
    outcome = await post(outbound, receiver, who)
    return outcome.status if isinstance(outcome, Answer) else outcome.code


async def test_a_receiver_that_wants_our_certificate_answers_to_it() -> None:
    async with going_out() as outbound, wanting_clients() as receiver:
        assert await code_of(outbound, receiver, identity()) == 200


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("client", [None, OTHER.pair()])
async def test_without_the_right_certificate_the_receiver_gets_nothing(
    client: Pair | None, newest: ssl.TLSVersion
) -> None:
    tls = serving(ACME.pair(), clients_of=ACME)
    tls.maximum_version = newest
    async with going_out() as outbound, refusing(tls) as receiver:
        outcome = await post(outbound, receiver, identity(client))

    assert isinstance(outcome, NoAnswer)
    assert (outcome.code, outcome.never_sent) == ("tls", True)
    assert "certificate" in outcome.text


async def test_with_a_ca_of_its_own_only_that_one_is_trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "system.pem").write_text(ACME.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "system.pem"))

    async with going_out() as outbound, receiving(answering(OK), serving(ACME.pair())) as receiver:
        assert await code_of(outbound, receiver, None) == 200
        assert await code_of(outbound, receiver, identity(CLIENT, ca=None)) == 200
        assert await code_of(outbound, receiver, identity(None, ca=ACME)) == 200
        assert await code_of(outbound, receiver, identity(None, ca=OTHER)) == "tls"
    assert len(receiver.requests) == 3


async def test_an_intermediate_may_be_the_ca_that_is_trusted() -> None:
    team = Authority("Team CA", ACME)
    async with going_out() as outbound, receiving(answering(OK), serving(team.pair())) as receiver:
        assert await code_of(outbound, receiver, identity(None, ca=team)) == 200


async def test_two_identities_never_share_a_connection_and_one_keeps_its_own() -> None:
    ours, theirs, no_client = identity(), identity(ACME.pair("another")), identity(None)
    async with going_out() as outbound, receiving(answering(OK), serving(ACME.pair())) as receiver:
        for who in (ours, theirs, no_client, ours, identity(), theirs):
            assert await code_of(outbound, receiver, who) == 200

    assert receiver.connections == 3


async def test_an_identity_is_never_shown_by_plain_http() -> None:
    async with going_out() as outbound, receiving(answering(OK)) as receiver:
        outcome = await outbound.post(receiver.url, b"", {}, timeout_s=2, reach=LOOPBACK, identity=identity())

    assert isinstance(outcome, NoAnswer)
    assert (outcome.code, receiver.connections) == ("refused_url", 0)


async def test_the_longest_unused_identity_loses_its_connection() -> None:
    first, second, third = (identity(ACME.pair(name)) for name in ("first", "second", "third"))
    async with going_out(identities=2) as outbound, receiving(answering(OK), serving(ACME.pair())) as receiver:
        for who in (first, second, first, third):
            await post(outbound, receiver, who)
        before = receiver.connections
        await post(outbound, receiver, first)
        await post(outbound, receiver, second)

    assert (before, receiver.connections) == (3, 4)


async def test_a_request_under_way_outlives_that_its_identity_is_crowded_out() -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def wait(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()
        await go_on.wait()
        writer.write(OK)

    async with going_out(identities=1) as outbound, receiving(wait, serving(ACME.pair())) as slow:
        async with receiving(answering(OK), serving(ACME.pair())) as quick:
            under_way = asyncio.create_task(code_of(outbound, slow, identity()))
            await asyncio.wait_for(reached.wait(), 5)
            assert await code_of(outbound, quick, identity(ACME.pair("another"))) == 200
            go_on.set()
            assert await under_way == 200


async def test_many_at_once_load_an_identity_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[Identity] = []
    load = Identity.trust
    who = identity()
    monkeypatch.setattr(Identity, "trust", lambda self: loaded.append(self) or load(self))  # type: ignore[func-returns-value]

    async with going_out() as outbound, wanting_clients() as receiver:
        codes = await asyncio.gather(*(code_of(outbound, receiver, who) for _ in range(9)))

    assert (set(codes), loaded) == ({200}, [who])


async def test_a_stored_identity_that_went_bad_is_no_answer_and_tells_no_secret() -> None:
    broken = Identity(CLIENT.certificate, "hidden", "")
    async with going_out() as outbound, wanting_clients() as receiver:
        outcome = await post(outbound, receiver, broken)

    assert isinstance(outcome, NoAnswer)
    assert outcome.code == "tls"
    assert "hidden" not in repr((outcome, broken, identity()))


@pytest.mark.parametrize("memory_file", [True, False])
def test_nothing_of_a_key_stays_in_a_file(memory_file: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if not memory_file:
        monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    open_before = os.listdir("/proc/self/fd")

    identity().trust()

    assert list(tmp_path.iterdir()) == []
    assert os.listdir("/proc/self/fd") == open_before


def test_a_key_on_its_way_to_openssl_is_readable_by_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    make: Callable[..., Any] = tempfile.NamedTemporaryFile
    monkeypatch.delattr(os, "memfd_create")

    def watched() -> Any:
        file = make()
        modes.append(os.stat(file.name).st_mode & 0o777)
        return file

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", watched)
    identity().trust()

    assert set(modes) == {0o600}


WEAK = ACME.pair(key=rsa.generate_private_key(65537, 1024))
LOCKED = key_pem(ec.generate_private_key(ec.SECP256R1()), b"passphrase")
NO_IDENTITY = {
    "nothing": (("", "", ""), "certificate", "or both"),
    "no PEM": (("hello", CLIENT.private_key, ""), "certificate", "not PEM"),
    "another's key": ((CLIENT.certificate, OTHER.pair().private_key, ""), "private_key", "another certificate"),
    "an encrypted key": ((CLIENT.certificate, LOCKED, ""), "private_key", "passphrase"),
    "a broken key": ((CLIENT.certificate, "-----BEGIN PRIVATE KEY-----", ""), "private_key", "not PEM"),
    "no key": ((CLIENT.certificate, "", ""), "private_key", "missing"),
    "a key only": (("", CLIENT.private_key, ""), "certificate", "missing"),
    "the key in the chain": ((CLIENT.certificate + CLIENT.private_key, CLIENT.private_key, ""), "certificate", "own"),
    "a weak key": ((WEAK.certificate, WEAK.private_key, ""), "certificate", "too small"),
    "a CA that signs nothing": (("", "", CLIENT.certificate), "ca", "CN=offhook is no CA"),
    "a CA that is no PEM": (("", "", "hello"), "ca", "not PEM"),
    "a flood": (("", "", "a" * 70_000), "ca", "longer"),
}


@pytest.mark.parametrize(("texts", "part", "why"), NO_IDENTITY.values(), ids=NO_IDENTITY)
def test_what_is_no_identity_is_refused_with_its_part_and_its_reason(
    texts: tuple[str, str, str], part: str, why: str
) -> None:
    with pytest.raises(NotAnIdentity, match=why) as refused:
        Identity.parse(*texts, now=NOW)

    assert refused.value.part == part
    assert isinstance(refused.value, ValueError)


def test_what_expired_is_refused_and_says_when() -> None:
    gone, early, old_ca = ACME.pair(days=-2), ACME.pair(since_days=0.5), Authority("Old CA", days=-3)

    with pytest.raises(NotAnIdentity, match="certificate: expired on 20") as refused:
        identity(gone)
    with pytest.raises(NotAnIdentity, match="not valid before 20"):
        identity(early)
    with pytest.raises(NotAnIdentity, match="ca: expired on 20"):
        identity(None, old_ca)
    assert f"{NOW.replace(microsecond=0):%Y}" in str(refused.value)


def test_a_bundle_may_hold_the_old_ca_beside_the_new_one() -> None:
    both = Authority("Old CA", days=-3).certificate + ACME.certificate

    assert Identity.parse("", "", both, now=NOW).expires_at.date() > NOW.date()


def test_an_identity_shows_whom_it_names_and_until_when() -> None:
    ours, ours_for_long = identity(ACME.pair("offhook", days=3)), ACME.pair(days=50)

    assert ours.subject == "CN=offhook"
    assert (ours.expires_at - NOW).days in (2, 3)
    assert identity(None).subject == "CN=Acme CA"
    assert (identity(ours_for_long, ca=Authority("Brief CA", days=9)).expires_at - NOW).days in (8, 9)


def test_identities_of_the_same_texts_are_one() -> None:
    same = Identity.parse(CLIENT.certificate + "\n", CLIENT.private_key, ACME.certificate, now=NOW)

    assert same == identity()
    assert hash(same) == hash(identity())
    assert len({identity(), identity(None), identity(CLIENT, None), identity(ACME.pair())}) == 4
