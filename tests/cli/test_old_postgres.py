"""A PostgreSQL that is too old: every command says so at once, and asks it nothing."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.cli.conftest import offhook

_OUTDATED = "PostgreSQL 14 at 127.0.0.1:{port} is too old. Offhook needs 15 or newer."
_PROTOCOL = 3  # in the upper half of the first number; what bears another asks for encryption first


@pytest.fixture
def port_of_an_old_one() -> Iterator[str]:
    """A server that lets everybody in as a PostgreSQL 14 would, and hangs up on the first question."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_answer, args=[server], daemon=True).start()
        yield str(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)  # ends the thread's wait


@pytest.mark.parametrize("command", ["up", "api", "worker", "migrate", "keys list"])
def test_nothing_starts_over_a_postgres_before_15(command: str, port_of_an_old_one: str, tmp_path: Path) -> None:
    url = f"postgresql://us@127.0.0.1:{port_of_an_old_one}/offhook"

    refused = offhook(*command.split(), cwd=tmp_path, OFFHOOK_DATABASE_URL=url, OFFHOOK_PORT="0")

    assert refused.returncode == 2
    assert refused.stderr == f"offhook: {_OUTDATED.format(port=port_of_an_old_one)}\n"


def test_the_doctor_names_a_postgres_before_15_once(port_of_an_old_one: str, tmp_path: Path) -> None:
    url = f"postgresql://us@127.0.0.1:{port_of_an_old_one}/offhook"

    report = offhook("doctor", "--port", "0", cwd=tmp_path, OFFHOOK_DATABASE_URL=url)

    assert report.returncode == 1
    (failure,) = [line for line in report.stdout.splitlines() if line.startswith("fail")]
    assert failure.endswith("PostgreSQL 14 is too old. Offhook needs 15 or newer.")


def _answer(server: socket.socket) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        with client, suppress(OSError, struct.error):
            _let_in(client)


def _let_in(client: socket.socket) -> None:
    while True:
        length, kind = struct.unpack("!II", client.recv(8))
        client.recv(length - 8)
        if kind >> 16 == _PROTOCOL:
            break
        client.sendall(b"N")  # no encryption here
    told = _message(b"S", b"server_version\x0014.19\x00") + _message(b"S", b"client_encoding\x00UTF8\x00")
    client.sendall(_message(b"R", bytes(4)) + told + _message(b"K", bytes(8)) + _message(b"Z", b"I"))
    client.recv(1)


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body
