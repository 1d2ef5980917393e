"""Files in a directory of the operator's: whole, once, and outliving a power cut."""

import asyncio
import errno
import gzip
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from pyarrow import parquet
from tests.webhooks.destinations.stages import SECRET, Stage, fault_found, name_of, parts

from offhook import ids
from offhook.outbound import Outbound
from offhook.webhooks.credentials import Credentials, NoCredentials
from offhook.webhooks.destinations.conformance import CLAIMS, Claim, Found, a_consignment
from offhook.webhooks.destinations.files import opened
from offhook.webhooks.endpoint_settings import EndpointSettings
from offhook.webhooks.rendering import Rendered, Rendering
from offhook.webhooks.schedule import Delivered, TryAgain


class FileStage(Stage):
    nonsense = "file://elsewhere/warehouse"

    def __init__(self, outbound: Outbound, root: Path, query: str, patch: pytest.MonkeyPatch) -> None:
        self.root = root
        self._patch = patch
        there, gone = root / "there", root / "gone"
        there.mkdir()
        destination = opened(parts(outbound, file_dirs=[str(there), str(gone)]))
        super().__init__(destination, f"file://{there}{query}", f"file://{gone}{query}")

    async def found(self) -> Sequence[Found]:
        return [found for path in self.paths() for found in _events(path)]

    def paths(self) -> list[Path]:
        return sorted(path for path in self.root.rglob("*") if path.is_file())

    def silent(self) -> AbstractAsyncContextManager[str]:
        return self._stuck()

    @asynccontextmanager
    async def _stuck(self) -> AsyncIterator[str]:
        """The disk does not answer until it is over."""
        over, sync = threading.Event(), os.fsync
        with self._patch.context() as patch:
            patch.setattr(os, "fsync", lambda file: over.wait(10) and sync(file))
            yield self.url
            over.set()


def _events(path: Path) -> Iterator[Found]:
    if path.suffix == ".parquet":
        lines = [row["event"].encode() for row in parquet.read_table(path).to_pylist()]
    else:
        content = path.read_bytes()
        lines = (gzip.decompress(content) if path.suffix == ".gz" else content).splitlines()
    return (Found(orjson.loads(line)["event_id"], line) for line in lines)


@pytest.fixture(params=["", "?gzip=true", "?format=parquet"], ids=["ndjson", "gzip", "parquet"])
def stage(
    request: pytest.FixtureRequest, outbound: Outbound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> FileStage:
    return FileStage(outbound, tmp_path, request.param, monkeypatch)


@pytest.fixture
def lines(outbound: Outbound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileStage:
    """The plainest of them."""
    return FileStage(outbound, tmp_path, "", monkeypatch)


@pytest.mark.parametrize("claim", CLAIMS, ids=name_of)
async def test_what_every_destination_keeps(claim: Claim, stage: FileStage) -> None:
    assert await fault_found(claim, stage) == ""


async def test_a_file_lies_under_its_workspace_and_the_hour_of_its_earliest_event(lines: FileStage) -> None:
    sent = a_consignment(lines, 2)
    early = replace(sent.items[1], event=_at(sent.items[1].event.int, 1_795_305_599_999))  # 2026-11-21T23:59:59.999Z

    await lines.destination.send(replace(sent, items=[sent.items[0], early]))

    (path,) = lines.paths()
    workspace = ids.show("ws", sent.tenant.workspace)
    below = f"workspace={workspace}/environment=live/date=2026-11-21/hour=23/{sent.webhook_id}.ndjson"
    assert path == lines.root / "there" / below


def _at(event: int, millis: int) -> Any:
    """This id, as if it had been made at that moment."""
    return type(ids.new())(int=(event & ((1 << 80) - 1)) | (millis << 80))


async def test_two_endpoints_may_write_into_one_directory(lines: FileStage) -> None:
    sent = a_consignment(lines)
    (item,) = sent.items
    thin = replace(item, delivery=ids.new(), rendered=Rendering("thin").render(item.rendered.body, {}, str))

    for one in (sent, replace(sent, endpoint=ids.new(), items=[thin])):
        assert (await lines.destination.send(one)).outcome == Delivered()

    assert {one.content for one in await lines.found()} == {item.rendered.body, thin.rendered.body}


async def test_a_repeated_consignment_leaves_the_very_same_bytes(stage: FileStage) -> None:
    sent = a_consignment(stage, 3)
    await stage.destination.send(sent)
    (path,) = stage.paths()
    before = path.read_bytes()

    await stage.destination.send(replace(sent, n=1))

    assert stage.paths() == [path]
    assert path.read_bytes() == before


async def test_a_file_is_synced_before_it_has_its_name_and_its_directory_after(
    lines: FileStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(os, "fsync", _noting(os.fsync, lambda file: seen.append(_kind(file))))
    monkeypatch.setattr(os, "replace", _noting(os.replace, lambda *_: seen.append("renamed")))

    await lines.destination.send(a_consignment(lines))

    assert seen[-3:] == ["file", "renamed", "directory"]
    assert seen[:-3] == ["directory"] * 4  # workspace, environment, date and hour, each into its parent


def _noting(act: Callable[..., None], note: Callable[..., None]) -> Callable[..., None]:
    def noted(*args: Any) -> None:
        note(*args)
        act(*args)

    return noted


def _kind(file: int) -> str:
    return "directory" if os.path.isdir(f"/proc/self/fd/{file}") else "file"


@pytest.mark.parametrize(
    ("number", "code", "busy"),
    [
        (errno.ENOSPC, "file_no_room", True),
        (errno.EACCES, "file_denied", False),
        (errno.EIO, "file_not_written", False),
    ],
)
async def test_what_the_disk_says_is_told_and_nothing_half_is_left(
    number: int, code: str, busy: bool, lines: FileStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number), "/srv/secret")

    monkeypatch.setattr(os, "replace", fail)
    told = await lines.destination.send(a_consignment(lines))

    assert (told.outcome, told.busy) == (TryAgain(code), busy)
    assert "/srv" not in f"{told.error_text}"
    assert lines.paths() == []


async def test_a_link_does_not_lead_out_of_the_listed_directories(lines: FileStage, tmp_path: Path) -> None:
    (tmp_path / "there" / "link").symlink_to(tmp_path)

    told = await lines.destination.send(a_consignment(lines, url=f"{lines.url}/link"))

    assert told.outcome == TryAgain("directory_not_listed")


@pytest.mark.parametrize(
    ("url", "credentials", "code"),
    [
        ("file:///etc", NoCredentials(), "directory_not_listed"),
        ("{}/../gone", NoCredentials(), "bad_url"),
        ("{}/%2e%2e/gone", NoCredentials(), "bad_url"),
        ("{}-beside", NoCredentials(), "directory_not_listed"),
        ("{}?format=csv", NoCredentials(), "bad_url"),
        ("{}?form=parquet", NoCredentials(), "bad_url"),
        ("{}?format=parquet&gzip=true", NoCredentials(), "bad_url"),
        ("{}", SECRET, "bad_authentication"),
    ],
)
def test_an_endpoint_that_could_not_work_is_refused_with_a_cure(
    url: str, credentials: Credentials, code: str, lines: FileStage
) -> None:
    fault = lines.destination.check(url.format(lines.url), EndpointSettings(), credentials)

    assert fault
    assert fault.code == code


async def test_of_what_was_given_up_the_next_try_is_not_hurt(lines: FileStage) -> None:
    sent = a_consignment(lines)
    async with lines.silent() as url:
        await lines.destination.send(replace(sent, url=url, timeout_s=0.1))

    told = await lines.destination.send(sent)

    assert told.outcome == Delivered()
    assert [one.event_id for one in await lines.found()] == [sent.webhook_id]


@pytest.mark.parametrize("call", ["fsync", "replace"])
async def test_a_write_that_was_given_up_puts_nobody_back_over_their_tombstone(
    call: str, lines: FileStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = _hanging_once(call, monkeypatch)
    sent = a_consignment(lines)
    gave_up = await lines.destination.send(replace(sent, timeout_s=0.1))

    tombstone = replace(sent.items[0], rendered=Rendered({}, b'{"event_id":"","data":{"erased":true}}'))
    again = asyncio.create_task(lines.destination.send(replace(sent, items=[tombstone], n=1)))
    await asyncio.wait({again}, timeout=0.2)  # it waits for a rename that has begun, and for nothing else
    over.set()
    told = await again
    await asyncio.to_thread(_ended, lines.destination)

    assert (gave_up.outcome, told.outcome) == (TryAgain("timeout"), Delivered())
    assert [one.content for one in await lines.found()] == [tombstone.rendered.body]


def _hanging_once(call: str, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """The first call of this name to the system comes back when the event is set."""
    over, first, act = threading.Event(), iter([True]), getattr(os, call)

    def hang(*args: Any) -> None:
        if next(first, False):
            over.wait(10)
        act(*args)

    monkeypatch.setattr(os, call, hang)
    return over


def _ended(destination: Any) -> None:
    """Every thread has come to its end."""
    for pool in destination._pools.values():
        pool.shutdown(wait=True)
