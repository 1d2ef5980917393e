"""The source of the house, read as text and as trees."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import offhook

SRC = Path(offhook.__file__).parent
ROOMS = {path.name for path in SRC.iterdir() if (path / "__init__.py").exists()}


@dataclass(frozen=True)
class Source:
    """One file; `room` is the folder it is in, or the file itself where it stands in none."""

    name: str
    room: str
    text: str
    tree: ast.Module

    @property
    def strings(self) -> Iterator[str]:
        """Every string in it, an f-string with its holes left out."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.JoinedStr):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value

    @property
    def imported(self) -> Iterator[str]:
        """Every module or name that it imports, in full."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def sources() -> list[Source]:
    """Every file of the house."""
    return [_read(path) for path in sorted(SRC.rglob("*.py"))]


def _read(path: Path) -> Source:
    name, text = path.relative_to(SRC), path.read_text(encoding="utf-8")
    return Source(name.as_posix(), name.parts[0].removesuffix(".py"), text, ast.parse(text))


def is_module(dotted: str) -> bool:
    """Whether `offhook.…` names a file or a folder of the house."""
    path = SRC.joinpath(*dotted.split(".")[1:])
    return path.is_dir() or path.with_suffix(".py").exists()
