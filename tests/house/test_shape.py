"""The shape of the house. What breaks a rule today is listed by name, so that nothing new can."""

import ast
import subprocess
import sys
from pathlib import Path

from tests.house.source import ROOMS, SRC, is_module, sources

OPEN_HALLWAYS = (
    "offhook.compliance.suppression",
    "offhook.compliance.verdict",
    "offhook.db.races",
    "offhook.events.catalogue",
    "offhook.http.batch",
    "offhook.http.bodies",
    "offhook.http.problems",
    "offhook.http.resources",
    "offhook.http.wire",
    "offhook.jobs.outcome",
    "offhook.jobs.progress",
    "offhook.leads.ingest",
    "offhook.leads.preflight",
    "offhook.outbound.diagnose",
    "offhook.outbound.identity",
    "offhook.providers.contract",
    "offhook.routing.record",
    "offhook.routing.targets",
    "offhook.webhooks.destinations",
)
"""Insides that every room may use: vocabularies, and what would widen a front door beyond reading. See ARCHITECTURE.md."""

ASSEMBLING = {"wiring", "app", "cli"}
"""They know everyone; a room's routes are handed to nobody else."""

SPEAKERS = {"aiohttp", "boto3", "botocore", "httpx", "nats", "obstore", "requests"}
"""Libraries that open connections, or could."""

PAST_THE_FRONT_DOOR = {
    ("access", "http.limits"),
    ("access", "db.connection"),
    ("app", "events.types"),
    ("app", "http.docs"),
    ("app", "http.limits"),
    ("app", "http.middleware"),
    ("app", "http.openapi"),
    ("app", "http.straight"),
    ("bench", "db.embedded"),
    ("bench", "webhooks.claim_store"),
    ("cli", "access.keys"),
    ("cli", "bench.cli"),
    ("cli", "compliance.rehearsal"),
    ("cli", "compliance.tz"),
    ("cli", "db.connection"),
    ("cli", "db.embedded"),
    ("cli", "demo.cli"),
    ("events", "http.pages"),
    ("leads", "http.straight"),
    ("upkeep", "events.store"),
    ("wiring", "http.idempotency"),
    ("webhooks", "events.envelope"),
    ("webhooks", "events.globs"),
    ("webhooks", "events.hearing"),
    ("webhooks", "events.store"),
    ("webhooks", "events.tombstone"),
    ("webhooks", "events.types"),
    ("webhooks", "outbound.jetstream"),
    ("webhooks", "outbound.mail"),
    ("webhooks", "outbound.s3"),
    ("wiring", "events.reactions"),
    ("wiring", "events.stream"),
    ("wiring", "http.progress"),
    ("wiring", "http.receipts"),
    ("wiring", "leads.preflight"),
    ("wiring", "sandbox.clock"),
    ("wiring", "sandbox.inbox"),
    ("wiring", "sandbox.platform"),
}


def test_imports_only_go_down_the_floors() -> None:
    program = Path(sys.executable).with_name("lint-imports")

    done = subprocess.run([program, "--no-cache"], cwd=SRC.parents[1], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


def test_a_room_is_entered_by_its_front_door() -> None:
    entered = {
        (source.room, module.removeprefix("offhook."))
        for source in sources()
        for module in source.imported
        if module.count(".") > 1 and module.split(".")[1] in ROOMS - {source.room} and is_module(module)
        if not module.startswith(OPEN_HALLWAYS)
        if not (source.room in ASSEMBLING and module.endswith(".http"))
    }

    assert entered - PAST_THE_FRONT_DOOR == set()


def test_a_front_door_has_eight_names_at_most() -> None:
    doors = {}
    for source in sources():
        if source.name == f"{source.room}/__init__.py":
            doors[source.room] = len(exported(source.tree))

    assert {room: width for room, width in doors.items() if width > 8} == {}


def exported(tree: ast.Module) -> list[ast.expr]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            assert isinstance(node.value, ast.List)
            return node.value.elts
    return []


def test_no_file_is_longer_than_four_hundred_lines() -> None:
    lengths = {source.name: source.text.count("\n") for source in sources()}

    assert {name: length for name, length in lengths.items() if length > 400} == {}


def test_no_function_is_longer_than_sixty_lines() -> None:
    long = {
        (source.name, node.name)
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (node.end_lineno or 0) - node.lineno + 1 > 60
    }

    assert long == set()


def test_every_room_begins_by_saying_what_it_promises() -> None:
    silent = {
        source.name
        for source in sources()
        if source.name == f"{source.room}/__init__.py" and not ast.get_docstring(source.tree)
    }

    assert silent == set()


def test_only_the_way_out_speaks_to_the_network() -> None:
    speakers = {
        source.name
        for source in sources()
        if any(module.partition(".")[0] in SPEAKERS for module in source.imported)
        if source.room not in ("outbound", "demo", "bench")  # the latter two are receivers outside of the house
        if source.name != "cli/server.py"  # the user's own Offhook, whose stream has no end
        if source.name != "sandbox/remote.py"  # a pretend platform, which is a server of its own
    }

    assert speakers == set()
