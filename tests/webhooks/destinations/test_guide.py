"""The guide's destination: the file as it stands there, put on the path, opened by its setting, held to the suite."""

import re
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from tests.webhooks.destinations.stages import Stage, fault_found, name_of, parts

from offhook.errors import CannotStart
from offhook.outbound import Outbound
from offhook.webhooks.credentials import NoCredentials
from offhook.webhooks.destinations import Destinations
from offhook.webhooks.destinations.conformance import CLAIMS, Claim, Found
from offhook.webhooks.destinations.contract import Parts
from offhook.webhooks.endpoint_settings import EndpointSettings

GUIDE = (Path(__file__).parents[3] / "docs" / "guide-destinations.md").read_text(encoding="utf-8")
(ROWS,) = re.findall(r"<!-- rows -->\n```python\n(.*?)```", GUIDE, re.DOTALL)


class RowStage(Stage):
    nonsense = "rows://no table"
    connection: psycopg.AsyncConnection

    async def found(self) -> Sequence[Found]:
        rows = await self.connection.execute("select event_id, event from warehouse")
        return [Found(id, event.encode()) for id, event in await rows.fetchall()]

    def silent(self) -> AbstractAsyncContextManager[str]:
        return self._locked()

    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[str]:
        async with self.connection.transaction():
            await self.connection.execute("lock table warehouse in access exclusive mode")
            yield self.url


@pytest.fixture
def on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str) -> None:
    (tmp_path / "rows.py").write_text(ROWS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "rows", None)  # so that it is forgotten afterwards
    monkeypatch.delitem(sys.modules, "rows")
    monkeypatch.setenv("WAREHOUSE_DSN", database_url)


@pytest.fixture
async def stage(on_the_path: None, database_url: str, outbound: Outbound) -> AsyncIterator[RowStage]:
    destinations = Destinations(parts(outbound, destinations=["rows"]))
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(
            "create table warehouse (delivery uuid primary key, event_id text, type text, event text)"
        )
        url = "rows://warehouse"
        stage = RowStage(destinations.of(url), url, away="rows://not_there")
        stage.connection = connection
        yield stage
    await destinations.close()


@pytest.mark.parametrize("claim", CLAIMS, ids=name_of)
async def test_what_every_destination_keeps(claim: Claim, stage: RowStage) -> None:
    assert await fault_found(claim, stage) == ""


async def test_every_kind_has_its_destination_and_what_is_of_none_is_https(outbound: Outbound) -> None:
    destinations = Destinations(parts(outbound))

    kinds = {type(destinations.of(f"{kind}://x")).__name__ for kind in ("nats", "TLS", "file", "s3")}
    usual = {type(destinations.of(url)).__name__ for url in ("https://x", "HTTP://x", "gopher://x", "nonsense", "")}

    assert (kinds, usual) == ({"Nats", "Files", "Buckets"}, {"Http"})
    assert destinations.is_http("gopher://x")
    assert not destinations.is_http("s3://bucket")
    await destinations.close()


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (None, "no_such_destination"),
        ("x = 1", "no_such_destination"),
        (ROWS.replace('{"rows"}', '{"s3"}'), "destination_kind_taken"),
    ],
    ids=["no module", "nothing to open", "another's kind"],
)
async def test_a_module_that_is_no_destination_is_told_at_start(
    source: str | None, code: str, on_the_path: None, outbound: Outbound, tmp_path: Path
) -> None:
    (tmp_path / "rows.py").unlink()
    if source:
        (tmp_path / "rows.py").write_text(source)

    with pytest.raises(CannotStart) as refused:
        Destinations(parts(outbound, destinations=["rows"]))

    assert refused.value.code == code


async def test_an_installation_without_the_extras_says_so(outbound: Outbound, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offhook.outbound.jetstream.find_spec", lambda _: None)
    destinations = Destinations(_with_nats(outbound))

    fault = destinations.check("nats://127.0.0.1:4222/events", EndpointSettings(), NoCredentials())

    assert fault
    assert fault.code == "extra_missing"
    await destinations.close()


def _with_nats(outbound: Outbound) -> Parts:
    return parts(outbound, nats_servers=["127.0.0.1:4222"])


def test_a_client_is_loaded_by_those_only_who_use_it() -> None:
    script = "import sys, offhook.webhooks.destinations; print({'nats', 'botocore', 'pyarrow'} & sys.modules.keys())"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"
