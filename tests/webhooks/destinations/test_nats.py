"""NATS JetStream, by a real server: stored once, verifiable, and led nowhere that the operator does not list."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace

import nats
import pytest
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, StreamConfig
from tests.outbound.authority import Authority
from tests.webhooks.destinations.conftest import running_nats
from tests.webhooks.destinations.stages import (
    SECRET,
    Stage,
    a_port_of_nobody,
    a_silent_server,
    fault_found,
    name_of,
    parts,
)

from offhook import ids
from offhook.outbound import Outbound
from offhook.outbound.identity import Identity
from offhook.webhooks.credentials import ApiKey, Basic, Bearer, Credentials, NoCredentials
from offhook.webhooks.destinations.conformance import CLAIMS, Claim, Found, a_consignment
from offhook.webhooks.destinations.nats import account_of, opened
from offhook.webhooks.endpoint_settings import Batching, EndpointSettings
from offhook.webhooks.schedule import Delivered, Refused, TryAgain


class NatsStage(Stage):
    nonsense = "nats://nats.example.com:4222/subject with blanks"
    credentials: Credentials = SECRET
    stream: JetStreamContext
    prefix: str

    async def found(self) -> Sequence[Found]:
        info = await self.stream.stream_info(self.prefix)
        messages = [await self.stream.get_msg(self.prefix, seq + 1) for seq in range(info.state.messages)]
        return [
            Found((one.headers or {})["webhook-id"], (one.data or b"") + repr(one.headers).encode()) for one in messages
        ]


@pytest.fixture
async def stream(nats_address: str) -> AsyncIterator[JetStreamContext]:
    client = await nats.connect(f"nats://{nats_address}", user=SECRET.username, password=SECRET.password)
    yield client.jetstream()
    await client.close()


@pytest.fixture
async def stage(nats_address: str, stream: JetStreamContext, outbound: Outbound) -> AsyncIterator[NatsStage]:
    prefix = f"offhook-{ids.new().hex}"
    await stream.add_stream(StreamConfig(name=prefix, subjects=[f"{prefix}.>"]))
    async with a_silent_server() as silent, a_port_of_nobody() as nobody:
        addresses = (nats_address, f"127.0.0.1:{nobody}", f"127.0.0.1:{silent}")
        destination = opened(parts(outbound, nats_servers=addresses))
        stage = NatsStage(destination, *(f"nats://{address}/{prefix}" for address in addresses))
        stage.stream, stage.prefix = stream, prefix
        yield stage
        await destination.close()
    await stream.delete_stream(prefix)


@pytest.mark.parametrize("claim", CLAIMS, ids=name_of)
async def test_what_every_destination_keeps(claim: Claim, stage: NatsStage) -> None:
    assert await fault_found(claim, stage) == ""


async def test_a_message_has_the_bytes_and_headers_of_a_webhook(stage: NatsStage) -> None:
    sent = a_consignment(stage)

    await stage.destination.send(sent)

    message = await stage.stream.get_last_msg(stage.prefix, f"{stage.prefix}.lead.cadence_paused")
    headers = dict(message.headers or {})
    assert message.data == sent.letter.body
    assert headers.pop("Nats-Msg-Id") == ids.show("dlv", sent.items[0].delivery)
    assert headers == {name: value for name, value in sent.letter.headers.items() if name != "authorization"}


async def test_the_same_event_for_another_endpoint_is_another_message(stage: NatsStage) -> None:
    sent = a_consignment(stage)
    other = replace(sent, items=[replace(sent.items[0], delivery=ids.new())])

    await stage.destination.send(sent)
    await stage.destination.send(other)

    assert len(await stage.found()) == 2


@pytest.mark.parametrize("count", [1, 3], ids=["single", "batch"])
async def test_a_tombstone_is_no_repetition_of_its_event_and_is_kept_once(count: int, stage: NatsStage) -> None:
    sent = a_consignment(stage, count)
    erased = [
        replace(sent, letter=replace(sent.letter, body=bytes([n]), buried=[item.delivery for item in sent.items[:n]]))
        for n in range(1, count + 1)
    ]

    for one in (sent, *erased, *erased):
        assert (await stage.destination.send(one)).outcome == Delivered()

    assert len(await stage.found()) == 1 + len(erased)


async def test_a_batch_that_was_bound_for_another_url_goes_whole(stage: NatsStage) -> None:
    sent = a_consignment(stage, 3)

    told = await stage.destination.send(sent)

    message = await stage.stream.get_last_msg(stage.prefix, f"{stage.prefix}.batch")
    assert told.outcome == Delivered()
    assert message.data == sent.letter.body


async def test_without_a_stream_the_event_waits_for_one(stage: NatsStage) -> None:
    sent = a_consignment(stage, url=stage.url + "-unheard")

    told = await stage.destination.send(sent)

    assert told.outcome == TryAgain("nats_no_stream")


@pytest.mark.parametrize(
    ("credentials", "code"),
    [
        (Basic("someone", "wrong"), "nats_login"),
        (NoCredentials(), "nats_login"),
        (Bearer("SU" + "A" * 56), "nats_login"),
        (Bearer("eyJh.e.s:SU" + "A" * 56), "nats_login"),
        (Basic("outsider", "another"), "nats_no_permission"),
        (ApiKey("x-key", "k"), "bad_authentication"),
    ],
    ids=["wrong password", "none", "no nkey", "no JWT", "may not publish", "not of NATS"],
)
async def test_who_may_not_publish_is_told_so(credentials: Credentials, code: str, stage: NatsStage) -> None:
    told = await stage.destination.send(replace(a_consignment(stage), credentials=credentials))

    assert told.outcome == TryAgain(code)


async def test_a_message_that_the_server_would_never_take_is_refused_and_its_neighbours_are_stored(
    stage: NatsStage,
) -> None:
    large = a_consignment(stage)
    large = replace(large, letter=replace(large.letter, body=b"x" * 65_536))

    told, *others = await asyncio.gather(
        *(stage.destination.send(one) for one in [large, *(a_consignment(stage) for _ in range(5))])
    )

    assert told.outcome == Refused("message_too_large")
    assert [other.outcome for other in others] == [Delivered()] * 5


async def test_what_is_too_large_for_the_stream_is_refused(stage: NatsStage, stream: JetStreamContext) -> None:
    await stream.update_stream(StreamConfig(name=stage.prefix, subjects=[f"{stage.prefix}.>"], max_msg_size=10))

    told = await stage.destination.send(a_consignment(stage))

    assert told.outcome == Refused("message_too_large")


async def test_a_full_stream_is_tried_again(stage: NatsStage, stream: JetStreamContext) -> None:
    config = StreamConfig(name=stage.prefix, subjects=[f"{stage.prefix}.>"], max_msgs=1, discard=DiscardPolicy.NEW)
    await stream.update_stream(config)

    first, second = [await stage.destination.send(a_consignment(stage)) for _ in range(2)]

    assert first.outcome == Delivered()
    assert second.outcome == TryAgain("nats_not_stored")


async def test_a_plain_server_is_never_told_anything_where_tls_is_wanted(stage: NatsStage) -> None:
    sent = a_consignment(stage, url=stage.url.replace("nats://", "tls://"))

    told = await stage.destination.send(sent)

    assert told.outcome == TryAgain("nats_tls")


@pytest.mark.parametrize(
    ("url", "settings", "credentials", "code"),
    [
        ("nats://elsewhere.example.com:4222/events", {}, SECRET, "server_not_listed"),
        ("nats://a:b@{}/events", {}, SECRET, "bad_url"),
        ("nats://{}/", {}, SECRET, "bad_url"),
        ("nats://{}/events.>", {}, SECRET, "bad_url"),
        ("nats://{}/events?x=1", {}, SECRET, "bad_url"),
        ("nats://{}/events", {"batch": Batching()}, SECRET, "no_batches"),
        ("nats://{}/events", {}, ApiKey("x-key", "k"), "bad_authentication"),
    ],
)
async def test_an_endpoint_that_could_not_work_is_refused_with_a_cure(
    url: str, settings: dict[str, Batching], credentials: Credentials, code: str, stage: NatsStage, nats_address: str
) -> None:
    fault = stage.destination.check(url.format(nats_address), EndpointSettings(**settings), credentials)  # type: ignore[arg-type]

    assert fault
    assert fault.code == code


async def test_nothing_is_sent_to_a_server_that_is_listed_no_more(stage: NatsStage, outbound: Outbound) -> None:
    told = await opened(parts(outbound)).send(a_consignment(stage))

    assert told.outcome == TryAgain("server_not_listed")


def test_credentials_become_what_nats_knows() -> None:
    seed = "SU" + "A" * 56
    assert account_of(Bearer("t0ken")).token == "t0ken"  # type: ignore[union-attr]
    assert account_of(Bearer(seed)).seed == seed  # type: ignore[union-attr]
    assert account_of(Bearer(f"eyJh.e.s:{seed}")).jwt == "eyJh.e.s"  # type: ignore[union-attr]


async def test_a_password_is_not_told_to_a_server_that_does_not_encrypt(outbound: Outbound) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"max_payload": 1000, "auth_required": true}\r\n')
        heard.put_nowait(await reader.read(-1))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        destination = opened(parts(outbound, nats_servers=(address,)))
        stage = NatsStage(destination, f"tls://{address}/events")
        told = await destination.send(a_consignment(stage))

    assert told.outcome == TryAgain("nats_tls")
    assert await heard.get() == b""


_TLS = """
listen: "127.0.0.1:{port}"
jetstream {{ store_dir: "{store}" }}
tls {{ cert_file: "cert.pem", key_file: "key.pem" }}
"""


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("ca")


@pytest.fixture(scope="module")
def tls_address(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with JetStream that wants TLS of everybody, under a certificate of the authority."""
    directory, pair = tmp_path_factory.mktemp("nats-tls"), authority.pair("server")
    (directory / "cert.pem").write_text(pair.certificate)
    (directory / "key.pem").write_text(pair.private_key)
    with running_nats(directory, _TLS) as at:
        yield at


@pytest.mark.parametrize("knows", [True, False], ids=["its own CA", "another CA"])
async def test_a_server_is_believed_by_the_endpoints_own_ca(
    knows: bool, authority: Authority, tls_address: str, outbound: Outbound
) -> None:
    destination = opened(parts(outbound, nats_servers=(tls_address,)))
    stage = NatsStage(destination, f"tls://{tls_address}/unheard")
    stage.credentials = NoCredentials()
    identity = Identity(ca=(authority if knows else Authority("other")).certificate)

    told = await destination.send(replace(a_consignment(stage), identity=identity))
    await destination.close()

    assert told.outcome == TryAgain("nats_no_stream" if knows else "nats_tls")
