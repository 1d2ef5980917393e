"""`offhook listen`: what happens in Offhook, on the terminal and at a program on this machine."""

import json
from pathlib import Path

import pytest
from standardwebhooks import Webhook
from tests.cli.conftest import Running, offhook, started, until
from tests.cli.wires import a_line, a_target, listening, trigger


async def test_a_triggered_event_is_heard_as_the_log_tells_it(house: Running) -> None:
    async with listening(house) as ears:
        (made,) = await trigger(house, "call.ended")

        told = await ears.hears()

    assert (told["object"], told["event"], told["forwarded"]) == ("event", made, None)


async def test_the_official_library_verifies_what_is_forwarded(house: Running) -> None:
    async with a_target() as target, listening(house, "--forward-to", target.url) as ears:
        (made,) = await trigger(house, "call.ended")
        told = await ears.hears()

    (got,) = target.got
    assert Webhook(ears.begun["secret"]).verify(got.body, got.headers()) == made
    assert {name: got.headers()[name] for name in ("webhook-id", "offhook-try", "user-agent", "content-type")} == {
        "webhook-id": made["event_id"],
        "offhook-try": "0",
        "user-agent": "Offhook",
        "content-type": "application/json",
    }
    assert (told["forwarded"]["status"], told["forwarded"]["tries"]) == (204, 1)


async def test_the_secret_stays_the_same_unless_one_is_given(house: Running) -> None:
    given = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    begun = []
    for more in ((), (), ("--secret", given)):
        async with listening(house, "--forward-to", "localhost:8499", *more) as ears:
            begun.append(ears.begun["secret"])

    assert begun[0] == begun[1] != given == begun[2]
    assert house.credentials["test_key"] not in begun[0]


async def test_nothing_is_lost_and_nothing_comes_twice_when_the_stream_is_cut(house: Running) -> None:
    async with (
        a_line(house) as line,
        a_target() as target,
        listening(house, "--forward-to", target.url, port=line.port) as ears,
    ):
        made = await trigger(house, "call.started")
        heard = [await ears.hears()]
        await line.cut()
        await ears.notes("The stream was cut")
        made += await trigger(house, "call.ended", 3)
        await line.mend()
        heard += [await ears.hears() for _ in range(3)]

    assert [one["event"] for one in heard] == made
    assert [json.loads(one.body) for one in target.got] == made


async def test_a_stream_that_is_cut_before_its_first_event_loses_none(house: Running) -> None:
    async with a_line(house) as line, listening(house, port=line.port) as ears:
        await line.cut()
        await ears.notes("The stream was cut")
        (made,) = await trigger(house, "lead.accepted")
        await line.mend()

        assert (await ears.hears())["event"] == made


async def test_it_goes_on_when_the_target_comes_back(house: Running) -> None:
    async with a_target() as target, listening(house, "--forward-to", target.url) as ears:
        await target.go()
        made = await trigger(house, "call.ended", 2)
        await ears.notes("did not accept the connection")
        await target.come()

        heard = [await ears.hears() for _ in made]

    assert [one["forwarded"]["status"] for one in heard] == [204, 204]
    assert heard[0]["forwarded"]["tries"] > 1
    assert [json.loads(one.body) for one in target.got] == made


async def test_only_the_types_that_were_asked_for_are_heard(house: Running) -> None:
    async with listening(house, "--events", "lead.accepted, transfer.*") as ears:
        for type in ("call.ended", "lead.accepted", "transfer.bridged"):
            await trigger(house, type)

        assert [(await ears.hears())["event"]["type"] for _ in range(2)] == ["lead.accepted", "transfer.bridged"]


async def test_ctrl_c_ends_it_well(house: Running) -> None:
    async with listening(house) as ears:
        assert await ears.end() == 0


async def test_a_key_that_is_revoked_ends_it_with_the_reason(house: Running, tmp_path: Path) -> None:
    at = ("--data-dir", house.data_dir)
    key = json.loads(offhook("keys", "create", "--name", "x", "--json", *at, cwd=tmp_path).stdout)
    async with a_line(house) as line, listening(house, "--api-key", key["key"], port=line.port) as ears:
        await line.cut()
        offhook("keys", "revoke", key["id"], *at, cwd=tmp_path)
        until(lambda: house.ask("/v1/events", key["key"])[0] == 401, "the key is refused")
        await line.mend()

        await ears.notes("The key is not accepted there")
        assert await ears.process.wait() == 1


def test_on_a_terminal_it_is_a_line_for_each_event_with_what_its_target_said(house: Running, data_dir: Path) -> None:
    base = f"http://127.0.0.1:{house.port}"
    asked = ("--url", base, "--api-key", house.credentials["test_key"])
    data_dir.mkdir()
    with started("listen", "--forward-to", f"{base}/nowhere", *asked, data_dir=data_dir) as running:
        made = json.loads(offhook("trigger", "call.ended", "--json", *asked, cwd=data_dir).stdout)
        until(lambda: "404" in running.output.read_text(), "it tells the event")

        assert running.told["Secret"].startswith("whsec_")
        time, type, subject, status, ms, unit = running.output.read_text().splitlines()[-1].split()
        assert (time.count(":"), type, subject, status) == (2, "call.ended", made["subject"]["id"], "404")
        assert (ms.isdigit(), unit) == (True, "ms")
        assert running.end() == 0


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--forward-to", "ftp://localhost/hooks", "--forward-to: Nothing can be sent there"),
        ("--forward-to", "http://169.254.169.254/", "--forward-to: Nothing can be sent there"),
        ("--secret", "whsec_c2hvcnQ=", "--secret: This is none: a secret holds 24 to 64 bytes"),
        ("--events", "call.endd", "type: No event type answers to this. Did you mean call.ended"),
        ("--url", "nonsense", "--url: This is not a URL"),
        ("--api-key", "ofk_test_nobody", "The key is not accepted there"),
        ("--url", "http://127.0.0.1:1", "Offhook does not answer at http://127.0.0.1:1. Start it"),
    ],
)
def test_what_is_asked_wrongly_is_told_with_the_way_to_mend_it(
    house: Running, tmp_path: Path, option: str, value: str, said: str
) -> None:
    asked = {"--url": f"http://127.0.0.1:{house.port}", "--forward-to": "localhost:8499", option: value}
    flat = [part for pair in asked.items() for part in pair]

    refused = offhook("listen", *flat, "--data-dir", house.data_dir, cwd=tmp_path)

    assert refused.stderr.startswith(f"offhook: {said}")
    assert refused.returncode == (2 if said.startswith(("--", "type")) else 1)


def test_without_a_key_it_says_where_to_get_one(tmp_path: Path) -> None:
    refused = offhook("listen", cwd=tmp_path)

    assert refused.returncode == 2
    assert "credentials.json" in refused.stderr
    assert "offhook keys create" in refused.stderr
