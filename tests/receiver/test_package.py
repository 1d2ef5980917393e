"""The kit is a package of its own: it installs without the hub, and needs nothing but Python."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

KIT = Path(__file__).parents[2] / "receiver"
PROBE = """
import sys
sys.path.insert(0, sys.argv[1])
from offhook_receiver import Inbox, Verifier, Worker, api, older, testing, transactions
Verifier("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
print(sorted({name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names) - {"__main__"}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the kit in it, and nothing else."""
    source, target = tmp_path_factory.mktemp("source") / "receiver", tmp_path_factory.mktemp("target")
    shutil.copytree(KIT, source, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", *offline, "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return target


def test_it_installs_and_loads_nothing_but_itself_and_the_standard_library(installed: Path) -> None:
    done = subprocess.run([sys.executable, "-I", "-S", "-c", PROBE, str(installed)], capture_output=True, text=True)

    assert done.stderr == ""
    assert done.stdout.strip() == "['offhook_receiver']"


def test_it_brings_its_types_and_its_licence(installed: Path) -> None:
    assert (installed / "offhook_receiver" / "py.typed").exists()
    assert [path.name for path in installed.glob("*.dist-info/licenses/*")] == ["LICENSE"]


def test_its_licence_is_the_hubs() -> None:
    assert (KIT / "LICENSE").read_bytes() == (KIT.parent / "LICENSE").read_bytes()


def test_its_front_door_has_eight_names_and_all_of_them_are_explained() -> None:
    import offhook_receiver

    assert len(offhook_receiver.__all__) == 8
    assert all(getattr(offhook_receiver, name).__doc__ for name in offhook_receiver.__all__)


def test_no_file_is_longer_than_four_hundred_lines() -> None:
    assert [path.name for path in KIT.rglob("*.py") if len(path.read_text().splitlines()) > 400] == []
