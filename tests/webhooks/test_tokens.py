"""Access tokens: one request for many deliveries, renewed in time, and never in the way of a delivery that has one."""

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import parse_qs, unquote_plus

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.webhooks.conftest import Receiver, Says

from offhook import ids
from offhook.db import Tenant
from offhook.outbound import Answer, NoAnswer, Outbound, Reach
from offhook.outbound.answer import Timing
from offhook.webhooks.credentials import ClientCredentials
from offhook.webhooks.tokens import Granted, NoToken, Token, Tokens, granted, token_request

LOOPBACK = Reach(plain_http_loopback=True, allowed_networks=())
TENANT = Tenant(ids.new(), "sandbox")
ENDPOINT = ids.new()
LIFE_S = 3600
TIMING = Timing(0.0, 0.0, 0.0, None, 0.0)


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Client:
    """What an endpoint's deliveries ask for."""

    def __init__(self, tokens: Tokens, clock: Clock, server: Receiver) -> None:
        self.tokens = tokens
        self.clock = clock
        self.server = server
        self.credentials = ClientCredentials(server.url, "offhook", "hunter2", "hooks")

    async def bearer(self) -> Token | NoToken:
        return await self.tokens.bearer(TENANT, ENDPOINT, self.credentials, LOOPBACK)

    async def many(self, count: int = 1000) -> set[Token | NoToken]:
        return set(await asyncio.gather(*(self.bearer() for _ in range(count))))

    @property
    def asked(self) -> int:
        return len(self.server.received)


def gives(value: str, **more: object) -> Says:
    told = {"access_token": value, "token_type": "Bearer", "expires_in": LIFE_S, **more}
    return Says(body=orjson.dumps(told))


def answer(status: int = 200, **told: object) -> Answer:
    return Answer(status, {}, orjson.dumps(told), False, TIMING)


@pytest.fixture
async def client(outbound: Outbound, receiver: Receiver) -> AsyncIterator[Client]:
    clock = Clock()
    client = Client(Tokens(outbound, clock=clock), clock, receiver)
    receiver.says = [gives("first"), gives("second"), gives("third")]
    yield client
    await client.tokens.close()


async def test_many_deliveries_share_one_request(client: Client) -> None:
    assert await client.many() == {Token("first")}
    assert await client.many() == {Token("first")}
    assert client.asked == 1


async def test_a_token_is_renewed_beside_its_use_from_four_fifths_of_its_life_on(client: Client) -> None:
    await client.bearer()

    client.clock.now += LIFE_S * 0.8 - 1
    assert (await client.many(), client.tokens.under_way) == ({Token("first")}, 0)
    client.clock.now += 1
    assert (await client.many(), client.tokens.under_way) == ({Token("first")}, 1)

    await client.tokens.drain()
    assert await client.bearer() == Token("second")
    assert client.asked == 2


async def test_a_slow_renewal_holds_up_nobody_who_has_a_token(client: Client) -> None:
    client.server.says = [gives("first"), Says(hangs=True)]
    await client.bearer()

    client.clock.now += LIFE_S * 0.8
    await client.bearer()
    await client.server.has(2)

    assert await client.many() == {Token("first")}
    assert client.asked == 2


@pytest.mark.parametrize(("life_s", "serves_s"), [(3600, 3590), (300, 290), (10, 9)])
async def test_a_token_is_not_sent_when_it_could_end_on_the_way(client: Client, life_s: int, serves_s: int) -> None:
    client.server.says = [gives("first", expires_in=life_s), gives("second")]
    await client.bearer()

    client.clock.now += serves_s - 0.5
    assert await client.many() == {Token("first")}
    client.clock.now += 0.5
    assert await client.many() == {Token("second")}


async def test_a_failure_is_asked_about_once_and_told_to_everybody_for_seconds(client: Client) -> None:
    client.server.says = [Says(503), gives("first")]

    failure = NoToken("token_refused", "no token, as its URL answered 503")
    assert await client.many() == {failure}
    client.clock.now += 4.9
    assert await client.many() == {failure}
    assert client.asked == 1

    client.clock.now += 0.1
    assert await client.many() == {Token("first")}


async def test_a_token_serves_on_when_its_renewal_fails_which_is_not_tried_at_once_again(client: Client) -> None:
    client.server.says = [gives("first"), Says(503), gives("second")]
    await client.bearer()
    client.clock.now += LIFE_S * 0.8
    await client.bearer()
    await client.tokens.drain()

    assert (await client.many(), client.tokens.under_way) == ({Token("first")}, 0)

    client.clock.now += 5
    assert await client.many() == {Token("first")}
    await client.tokens.drain()
    assert await client.bearer() == Token("second")


async def test_after_a_failed_renewal_the_token_ends_all_the_same(client: Client) -> None:
    client.server.says = [gives("first"), Says(503)]
    await client.bearer()

    client.clock.now += LIFE_S

    assert isinstance(await client.bearer(), NoToken)


async def test_a_401_refreshes_once_however_many_deliveries_got_it(client: Client) -> None:
    token = await client.bearer()
    assert isinstance(token, Token)

    for _ in range(100):
        client.tokens.forget(ENDPOINT, token)
        assert await client.many(10) == {Token("second")}

    assert client.asked == 2


async def test_forgetting_what_is_not_known_changes_nothing(client: Client) -> None:
    client.tokens.forget(ENDPOINT, Token("first"))
    await client.bearer()

    client.tokens.forget(ids.new(), Token("first"))
    client.tokens.forget(ENDPOINT, Token("another"))

    assert await client.bearer() == Token("first")
    assert client.asked == 1


async def test_changed_credentials_get_a_token_of_their_own_even_while_the_old_ones_wait(client: Client) -> None:
    client.server.says = [Says(hangs=True), gives("new")]
    old = asyncio.create_task(client.bearer())
    await client.server.has(1)

    client.credentials = replace(client.credentials, scope="more")

    assert await client.bearer() == Token("new")
    assert not old.done()
    old.cancel()


async def test_a_token_is_for_its_tenant_and_endpoint_alone(client: Client) -> None:
    stranger = Tenant(ids.new(), "sandbox")
    mine, ask = client.credentials, client.tokens.bearer

    got = [
        await ask(TENANT, ENDPOINT, mine, LOOPBACK),
        await ask(TENANT, ids.new(), mine, LOOPBACK),
        await ask(stranger, ENDPOINT, mine, LOOPBACK),
    ]

    assert got == [Token("first"), Token("second"), Token("third")]


async def test_one_delivery_that_is_given_up_does_not_harm_the_others(client: Client) -> None:
    given_up, other = asyncio.create_task(client.bearer()), asyncio.create_task(client.bearer())
    await asyncio.sleep(0)
    assert client.tokens.under_way == 1

    given_up.cancel()

    assert await other == Token("first")
    assert client.asked == 1


async def test_the_longest_unused_endpoint_is_forgotten_where_there_are_too_many(
    client: Client, outbound: Outbound
) -> None:
    tokens = Tokens(outbound, clock=client.clock, most=2)
    client.server.says = [gives(str(n)) for n in range(9)]
    a, b, c = ids.new(), ids.new(), ids.new()

    got = [await tokens.bearer(TENANT, one, client.credentials, LOOPBACK) for one in (a, b, a, c, a, b)]

    assert got == [Token(value) for value in "010203"]


async def test_a_closed_house_asks_no_more(client: Client) -> None:
    client.server.says = [Says(hangs=True)]
    waiting = asyncio.create_task(client.bearer())
    await client.server.has(1)

    await client.tokens.close()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert client.tokens.under_way == 0


async def test_a_url_out_of_reach_is_told_and_not_asked(client: Client) -> None:
    public = Reach(plain_http_loopback=False, allowed_networks=())

    got = await client.tokens.bearer(TENANT, ENDPOINT, client.credentials, public)

    assert isinstance(got, NoToken)
    assert (got.code, client.asked) == ("token_unreachable", 0)


async def test_the_request_is_a_form_of_oauth_with_the_client_in_a_basic_header(client: Client) -> None:
    await client.bearer()

    (received,) = client.server.received
    assert parse_qs(received.body.decode()) == {"grant_type": ["client_credentials"], "scope": ["hooks"]}
    assert received.headers["content-type"] == "application/x-www-form-urlencoded"
    assert received.headers["accept"] == "application/json"
    assert base64.b64decode(received.headers["authorization"].removeprefix("Basic ")) == b"offhook:hunter2"


asciis = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1)


@given(asciis, asciis)
def test_id_and_secret_are_encoded_before_they_are_joined(id: str, secret: str) -> None:
    body, headers = token_request(ClientCredentials("https://login.example/", id, secret))

    spelt = base64.b64decode(headers["authorization"].removeprefix("Basic ")).decode()
    assert tuple(map(unquote_plus, spelt.split(":"))) == (id, secret)
    assert body == b"grant_type=client_credentials"


@given(asciis, asciis, asciis)
def test_id_and_secret_stand_in_the_form_where_the_server_wants_them_there(id: str, secret: str, audience: str) -> None:
    body, headers = token_request(ClientCredentials("https://login.example/", id, secret, "", audience, "body"))

    assert parse_qs(body.decode(), strict_parsing=True) == {
        "grant_type": ["client_credentials"],
        "client_id": [id],
        "client_secret": [secret],
        "audience": [audience],
    }
    assert "authorization" not in headers


@pytest.mark.parametrize(
    ("told", "life_s"),
    [
        *[(60, 60), (59.5, 59.5), ("60", 60), (10**18, 86_400), ("9" * 400, 86_400)],
        *[(None, 300), (True, 300), ("soon", 300), ("-1", 300), ("nan", 300), ([], 300)],
    ],
)
def test_a_token_lives_as_long_as_the_answer_says_but_a_day_and_else_five_minutes(told: object, life_s: float) -> None:
    got = granted(answer(access_token="t0k3n", token_type="bearer", expires_in=told))

    assert got == Granted(Token("t0k3n"), life_s)
    assert granted(answer(access_token="t0k3n", token_type="BEARER")) == Granted(Token("t0k3n"), 300)


@pytest.mark.parametrize(
    ("got", "code"),
    [
        (NoAnswer("dns", "the name is unknown", TIMING), "token_unreachable"),
        (answer(401, error="invalid_client", access_token="t0k3n"), "token_refused"),
        (answer(302, access_token="t0k3n", token_type="bearer"), "token_refused"),
        (Answer(200, {}, b'{"access_token": "t0k3n', True, TIMING), "token_unreadable"),
        (Answer(200, {}, b'["t0k3n"]', False, TIMING), "token_unreadable"),
        (answer(access_token="", token_type="bearer"), "token_unreadable"),
        (answer(access_token="t0k3n\r\nHost: x", token_type="bearer"), "token_unreadable"),
        (answer(access_token=7, token_type="bearer"), "token_unreadable"),
        (answer(access_token="t0k3n"), "token_not_bearer"),
        (answer(access_token="t0k3n", token_type="mac"), "token_not_bearer"),
        (answer(access_token="t0k3n", token_type="bearer", expires_in=0), "token_over"),
        (answer(access_token="t0k3n", token_type="bearer", expires_in=-1.5), "token_over"),
    ],
)
def test_what_is_no_token_says_why_and_repeats_nothing(got: Answer | NoAnswer, code: str) -> None:
    no_token = granted(got)

    assert isinstance(no_token, NoToken)
    assert no_token.code == code
    assert "t0k3n" not in no_token.text


@pytest.mark.parametrize(
    ("error", "end"), [("invalid_client", "401 (invalid_client)"), ("hunter2", "401"), ([], "401")]
)
def test_only_the_errors_of_the_specification_are_repeated(error: object, end: str) -> None:
    no_token = granted(answer(401, error=error))

    assert isinstance(no_token, NoToken)
    assert no_token.text.endswith(f"answered {end}")


@given(st.binary(), st.integers(100, 599))
def test_no_answer_breaks_the_reading(body: bytes, status: int) -> None:
    assert isinstance(granted(Answer(status, {}, body, False, TIMING)), NoToken)


def test_a_token_never_stands_in_a_repr() -> None:
    assert repr(Granted(Token("t0k3n"), 60)) == "Granted(token=Token(), life_s=60)"
    assert Token("t0k3n").headers == {"authorization": "Bearer t0k3n"}
