"""The recipe for Node, in the very file that the README shows, under Node."""

import json
import subprocess
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from tests.receiver.messages import OTHER_SECRET, SECRET, batch, cloud, envelope, message, tombstone
from tests.vectors.cases import read
from tests.vectors.node import NODE, run_node
from tests.vectors.test_signatures import is_v1

RECIPE = Path(__file__).parents[2] / "receiver" / "node" / "receive.mjs"


class Server:
    """The recipe's server in a process of its own. `kept` reads what it was told to keep, line by line."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout
        self._lines = process.stdout
        self._port = int(self._lines.readline())

    def told(self, headers: dict[str, str], body: bytes) -> int:
        """The status that it answers."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=10)
        connection.request("POST", "/hook", body, headers)
        status = connection.getresponse().status
        connection.close()
        return status

    def kept(self) -> str:
        return self._lines.readline().strip()


@pytest.fixture
def server() -> Iterator[Server]:
    command = [NODE, str(Path(__file__).with_name("run_server.mjs")), RECIPE.as_uri(), SECRET]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        yield Server(process)
        process.terminate()


def test_it_is_forty_lines_and_needs_no_package() -> None:
    lines = RECIPE.read_text().splitlines()

    assert len(lines) <= 40
    assert [line for line in lines if " from " in line and '"node:' not in line and "import" in line] == []


def test_it_believes_what_the_vectors_say() -> None:
    cases = [case for case in read("verify.json")["cases"] if is_v1(case)]

    said = json.loads(
        run_node(str(Path(__file__).with_name("run_cases.mjs")), RECIPE.as_uri(), stdin=json.dumps(cases))
    )

    outcomes = {case["name"]: case["outcome"] for case in cases}
    assert dict(zip(outcomes, said, strict=True)) == outcomes


def test_without_a_secret_it_believes_nothing() -> None:
    headers, sent = message(envelope())
    case = {"keys": [""], "headers": headers, "body": sent.decode(), "now": int(headers["webhook-timestamp"])}

    said = run_node(str(Path(__file__).with_name("run_cases.mjs")), RECIPE.as_uri(), stdin=json.dumps([case]))

    assert json.loads(said) == ["no_secret"]


def test_it_answers_204_once_the_events_are_kept_also_those_that_it_has(server: Server) -> None:
    one, both = message(envelope(sequence=1)), message(batch(envelope(sequence=1), envelope(sequence=2)))

    assert [server.told(*one), server.told(*one), server.told(*both)] == [204, 204, 204]

    assert [server.kept(), server.kept()] == ["evt_call_1_1", "evt_call_1_2"]


def verified(told: Any) -> Any:
    """What the recipe makes of this message."""
    headers, sent = message(told)
    heard = ", ".join(json.dumps(one) for one in (headers, sent.decode(), [SECRET]))
    script = f"const {{ verify }} = await import('{RECIPE.as_uri()}'); console.log(JSON.stringify(verify({heard})));"
    return json.loads(run_node("--input-type=module", "-", stdin=script))


def test_the_events_of_every_format_are_handed_over() -> None:
    one, two = envelope(sequence=1), tombstone(sequence=2)
    thin = {name: value for name, value in one.items() if name != "data"}

    assert [verified(told) for told in (one, thin, cloud(one))] == [[one], [thin], [one]]
    assert [verified(told) for told in (batch(one, two), [cloud(one), cloud(two)])] == [[one, two]] * 2


def test_what_is_not_genuine_is_answered_401(server: Server) -> None:
    assert server.told(*message(envelope(), OTHER_SECRET)) == 401


def test_what_cannot_be_kept_is_answered_500_and_so_comes_again(server: Server) -> None:
    assert server.told(*message(envelope(sequence=99))) == 500


def test_a_body_of_more_than_four_megabytes_is_not_believed(server: Server) -> None:
    assert server.told(*message(b"a" * 5_000_000)) == 401
