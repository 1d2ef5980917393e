"""What counts as an answer, and when a connection may be used again."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.outbound.receivers import OK, answering, going_out, names, receiving

from offhook.outbound import Answer, NoAnswer, Outbound, Reach, Request
from offhook.outbound.wire import Broken, Reply, Wire

LOOPBACK = Reach(plain_http_loopback=True, allowed_networks=())


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    async with going_out() as outbound:
        yield outbound


async def asked(outbound: Outbound, url: str, method: str = "POST", **headers: str) -> Answer | NoAnswer:
    return await outbound.send(Request(method, url, b"{}", headers, timeout_s=2), LOOPBACK)


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Seen: yes\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
    ],
    ids=["words in between", "chunks"],
)
async def test_the_answer_is_whole_and_its_connection_used_again(outbound: Outbound, said: bytes) -> None:
    async with receiving(answering(said)) as receiver:
        answers = [await asked(outbound, receiver.url) for _ in range(2)]

    for answer in answers:
        assert isinstance(answer, Answer)
        assert (answer.status, answer.body, answer.headers["x-seen"]) == (200, b"ok", "yes")
        assert "link" not in answer.headers
    assert receiver.connections == 1


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
    ],
    ids=["closes", "HTTP/1.0", "says more than it was asked"],
)
async def test_a_connection_that_is_over_is_not_asked_again(outbound: Outbound, said: bytes) -> None:
    async with receiving(answering(said)) as receiver:
        answers = [await asked(outbound, receiver.url) for _ in range(2)]

    assert [answer.body for answer in answers if isinstance(answer, Answer)] == [b"ok", b"ok"]
    assert receiver.connections == 2


async def test_an_answer_may_end_with_its_connection(outbound: Outbound) -> None:
    async def until_it_closes(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        writer.close()

    async with receiving(until_it_closes) as receiver:
        answer = await asked(outbound, receiver.url)

    assert isinstance(answer, Answer)
    assert (answer.body, answer.truncated) == (b"all of it", False)


async def test_an_answer_to_head_has_no_body_whatever_it_says_of_one(outbound: Outbound) -> None:
    async with receiving(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")) as receiver:
        answer = await asked(outbound, receiver.url, "HEAD")

    assert isinstance(answer, Answer)
    assert (answer.headers["content-length"], answer.body) == ("500", b"")


async def test_a_kept_connection_that_the_receiver_closes_is_replaced(outbound: Outbound) -> None:
    closed = asyncio.Event()

    async def then_closing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await writer.drain()
        writer.close()
        closed.set()

    async with receiving(then_closing) as receiver:
        for _ in range(2):
            answer = await asked(outbound, receiver.url)
            assert isinstance(answer, Answer)
            await asyncio.wait_for(closed.wait(), 2)
            await asyncio.wait_for(_idle_wires_end(outbound), 2)

    assert receiver.connections == 2


async def _idle_wires_end(outbound: Outbound) -> None:
    while any(not wire.is_over for lane in outbound._lanes.values() for wire in lane._wires):  # noqa: ASYNC110  # of others
        await asyncio.sleep(0.001)


async def test_chunks_of_one_byte_for_ever_end_as_no_answer(outbound: Outbound) -> None:
    async def padded(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"1;" + b"x" * 5000 + b"\r\na\r\n")
            await writer.drain()

    async with receiving(padded) as receiver:
        outcome = await asked(outbound, receiver.url)

    assert isinstance(outcome, NoAnswer)
    assert outcome.code == "protocol"


@pytest.mark.parametrize("value", ["a\r\nX-Forged: 1", "a\nb", "a\rb", "a\0b"])
async def test_a_header_cannot_hold_another(outbound: Outbound, value: str) -> None:
    async with receiving(answering(OK)) as receiver:
        with pytest.raises(ValueError, match="line break"):
            await asked(outbound, receiver.url, x=value)

    assert receiver.connections == 0


async def test_every_request_says_who_asks_and_wants_no_packing_unless_its_headers_do(outbound: Outbound) -> None:
    async with receiving(answering(OK)) as receiver:
        await asked(outbound, receiver.url)
        await outbound.send(Request("GET", receiver.url, b"", {"Accept-Encoding": "br"}, timeout_s=2), LOOPBACK)

    first, second = (request.lower() for request in receiver.requests)
    assert b"user-agent: offhook\r\n" in first
    assert b"accept-encoding: identity\r\n" in first
    assert b"content-length: 2\r\n" in first
    assert second.count(b"accept-encoding:") == 1
    assert b"content-length" not in second


async def test_a_name_is_looked_up_once_for_all_who_ask_at_once() -> None:
    looked_up: list[str] = []
    known = names(many="127.0.0.1")

    async def counted(host: str) -> list[str]:
        looked_up.append(host)
        await asyncio.sleep(0)
        return list(await known(host))

    async with going_out(counted) as outbound, receiving(answering(OK)) as receiver:
        url = f"http://many.example:{receiver.port}/"
        answers = await asyncio.gather(*(asked(outbound, url) for _ in range(5)))

    assert all(isinstance(answer, Answer) for answer in answers)
    assert looked_up == ["many.example"]


async def test_an_address_that_does_not_answer_does_not_hold_up_the_next() -> None:
    async with going_out(names(two="127.0.0.2 127.0.0.1")) as outbound, receiving(answering(OK)) as receiver:
        answer = await asked(outbound, f"http://two.example:{receiver.port}/")

    assert isinstance(answer, Answer)


async def test_who_gives_up_leaves_no_connection_behind(outbound: Outbound) -> None:
    asked_for, gone = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        asked_for.set()
        await reader.read()
        gone.set()

    async with receiving(silent) as receiver:
        asking = asyncio.create_task(asked(outbound, receiver.url))
        await asyncio.wait_for(asked_for.wait(), 2)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await asyncio.wait_for(gone.wait(), 2)


class _Pipe(asyncio.Transport):
    """A transport that swallows what is written."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Nowhere."""

    def abort(self) -> None:
        """It has no other end."""


@given(st.lists(st.integers(1, 60), max_size=8), st.binary(max_size=200), st.booleans())
def test_however_an_answer_is_cut_it_reads_the_same(cuts: list[int], body: bytes, chunked: bool) -> None:
    if chunked:
        whole = b"HTTP/1.1 201 .\r\nTransfer-Encoding: chunked\r\n\r\n"
        whole += (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
    else:
        whole = b"HTTP/1.1 201 .\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    async def read() -> Reply:
        wire = Wire(lambda _: None)
        wire.connection_made(_Pipe())
        asking = asyncio.ensure_future(wire.ask(b"", 5))
        await asyncio.sleep(0)
        rest = whole
        for cut in cuts:
            if part := rest[:cut]:
                wire.data_received(part)
            rest = rest[cut:]
        if rest:
            wire.data_received(rest)
        return await asking

    reply = asyncio.run(read())
    assert (reply.status, reply.body, reply.truncated) == (201, body, False)


@given(st.binary(min_size=1, max_size=400))
def test_whatever_comes_is_an_answer_or_none_and_never_another_failure(said: bytes) -> None:
    async def read() -> Reply | str:
        wire = Wire(lambda _: None)
        wire.connection_made(_Pipe())
        asking = asyncio.ensure_future(wire.ask(b"", 5))
        await asyncio.sleep(0)
        wire.data_received(said)
        wire.connection_lost(None)
        try:
            return await asking
        except Broken as broken:
            return broken.code

    assert isinstance(asyncio.run(read()), Reply) or asyncio.run(read()) in ("reset", "protocol")
