"""The README's own lines, run."""

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import django
import pytest
from django.conf import settings
from django.db import connections
from django.test import Client as DjangoClient
from django.test import override_settings
from fastapi import FastAPI
from tests.conftest import Client
from tests.receiver.messages import OTHER_SECRET, SECRET, batch, envelope, message
from tests.vectors.node import run_node

from offhook_receiver import Inbox, Verifier, Worker, create_tables, transactions

README = (Path(__file__).parents[2] / "receiver" / "README.md").read_text(encoding="utf-8")
LINES = dict(re.findall(r"<!-- ([a-z ]+) -->\n```python\n(.*?)```", README, re.DOTALL))
FRAMEWORKS = ("fastapi", "flask", "django")


class Reader:
    """Somebody who copies the README's lines into a file, one block after the other."""

    def __init__(self) -> None:
        self.module = ModuleType("app")

    def types(self, name: str) -> Any:
        """Run a block; the names that are there now."""
        exec(compile(LINES[name], f"README, {name}", "exec"), vars(self.module))
        return self.module


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    """Who has done the first step, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OFFHOOK_SECRET", SECRET)
    monkeypatch.setenv("OFFHOOK_KEY", "ofk_test_key")
    reader = Reader()
    with reader.types("setup").begin() as connection:
        connection.execute("create table ended_call (id text)")
    return reader


def calls_ended(app: Any) -> list[tuple[str]]:
    with app.begin() as connection:
        found: list[tuple[str]] = connection.execute("select id from ended_call").fetchall()
        return found


def waiting(app: Any) -> int:
    with app.begin() as connection:
        cursor = connection.cursor()
        cursor.execute("select count(*) from offhook_inbox where body is not null")
        return int(cursor.fetchone()[0])


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_framework_takes_five_lines(framework: str) -> None:
    lines = [line for line in LINES[framework].splitlines() if line and not line.startswith(("from ", "import "))]

    assert len(lines) <= 5


async def test_fastapi_takes_what_is_genuine(reader: Reader) -> None:
    app = reader.types("fastapi")
    assert isinstance(app.app, FastAPI)

    async def post(headers: dict[str, str], sent: bytes) -> int:
        return (await Client(app.app).request("POST", "/offhook", content=sent, **headers)).status

    assert await post(*message(batch(envelope(), envelope(sequence=2)))) == 204
    assert await post(*message(envelope(), OTHER_SECRET)) == 401
    assert waiting(app) == 2


def test_flask_takes_what_is_genuine(reader: Reader) -> None:
    app = reader.types("flask")

    def post(headers: dict[str, str], sent: bytes) -> int:
        status: int = app.app.test_client().post("/offhook", headers=headers, data=sent).status_code
        return status

    assert post(*message(batch(envelope(), envelope(sequence=2)))) == 204
    assert post(*message(envelope(), OTHER_SECRET)) == 401
    assert waiting(app) == 2


@pytest.fixture
def djangos_database(tmp_path: Path) -> Iterator[Callable[[], Any]]:
    """`begin` on Django's own database, with the kit's tables."""
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": tmp_path / "django.db"}
    if not settings.configured:
        middleware = ["django.middleware.csrf.CsrfViewMiddleware"]
        settings.configure(DATABASES={"default": database}, MIDDLEWARE=middleware, ALLOWED_HOSTS=["testserver"])
        django.setup()
    connections["default"].settings_dict["NAME"] = tmp_path / "django.db"
    begin = transactions.django()
    with begin() as connection:
        create_tables(connection)
    yield begin
    connections.close_all()


def test_django_takes_what_is_genuine_into_its_own_database(
    reader: Reader, djangos_database: Callable[[], Any]
) -> None:
    reader.module.__dict__["inbox"] = Inbox(djangos_database, Verifier(SECRET))
    reader.module.__dict__["begin"] = djangos_database
    app = reader.types("django")

    def post(headers: dict[str, str], sent: bytes) -> int:
        client = DjangoClient(enforce_csrf_checks=True)
        answer = client.post("/offhook", sent, headers["content-type"], headers=headers)
        return int(answer.status_code)

    with override_settings(ROOT_URLCONF=app):
        assert post(*message(batch(envelope(), envelope(sequence=2)))) == 204
        assert post(*message(envelope(), OTHER_SECRET)) == 401
    assert waiting(app) == 2


def test_a_worker_works_in_djangos_own_transactions(djangos_database: Callable[[], Any]) -> None:
    Inbox(djangos_database, Verifier(SECRET)).take(*message(batch(envelope(), envelope(sequence=2))))
    done = []

    assert Worker(djangos_database, lambda connection, event: done.append(event.id), "newest").work_off() == 2
    assert done == ["evt_call_1_1", "evt_call_1_2"]


def test_the_worker_does_what_it_says(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Worker, "run", lambda self, stop: stops.append((stop, self.work_off())))
    stops: list[tuple[object, int]] = []
    reader.module.__dict__["inbox"].take(*message(envelope(type="call.ended")))

    app = reader.types("worker")

    ((stop, done),) = stops
    assert isinstance(stop, threading.Event)
    assert done == 1
    assert calls_ended(app) == [("call_1",)]


def test_in_order_takes_an_api(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Worker, "run", lambda self, stop: None)
    reader.types("worker")
    app = reader.types("in order")
    app.inbox.take(*message(batch(envelope(sequence=2, type="call.ended"), envelope())))

    assert app.worker.work_off() == 2


def test_within_the_request_each_event_is_done_once(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Worker, "run", lambda self, stop: None)
    reader.types("worker")
    app = reader.types("inline")

    ended = message(envelope(type="call.ended"))

    assert [app.take(*ended), app.take(*ended), app.take(*message(envelope(), OTHER_SECRET))] == [204, 204, 401]
    assert calls_ended(app) == [("call_1",)]


def test_the_test_takes_what_it_signs_into_the_inbox(reader: Reader) -> None:
    app = reader.types("testing")

    app.test_an_ended_call_is_taken()

    assert waiting(app) == 1


def test_the_lines_for_node_are_javascript() -> None:
    (block,) = re.findall(r"```js\n(.*?)```", README, re.DOTALL)

    assert run_node("--check", "--input-type=module", "-", stdin=block) == ""


def test_every_block_of_python_is_run_here() -> None:
    assert README.count("```python") == len(LINES)
