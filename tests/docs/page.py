"""A page of `docs/` as a reader has it: its blocks, its links, its headings."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).parents[2]
CONTRACT = ROOT / "docs" / "webhook-contract.md"
TEXT = CONTRACT.read_text(encoding="utf-8")

_HTTP = re.compile(r"```http\n(.*?)\n\n(.*?)\n```(?:\n\n(?:signed|verified) with `(.*?)`)?", re.DOTALL)
_ALL_SIGNED = re.compile(r"All examples are signed with `(.*?)`")


@dataclass(frozen=True)
class Request:
    """A request shown on the page. `line` is empty where only the headers that matter are shown."""

    line: str
    headers: dict[str, str]
    body: bytes
    key: str

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def is_webhook(self) -> bool:
        """Whether Offhook sends it; the others are sent to its API."""
        return any("signature" in name for name in self.headers)


def requests() -> list[Request]:
    """Every request on the page, its body as it is sent."""
    common = _ALL_SIGNED.search(TEXT)
    assert common
    return [_read(head, body, key or common[1]) for head, body, key in _HTTP.findall(TEXT)]


def blocks(language: str) -> list[str]:
    """The blocks in that language."""
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def links() -> list[str]:
    return re.findall(r"\]\(([^)]+)\)", TEXT)


def anchors() -> set[str]:
    """What the headings are called in links, as GitHub calls them."""
    return {title.lower().replace(" ", "-") for title in re.findall(r"^## (.+)$", TEXT, re.MULTILINE)}


def _read(head: str, body: str, key: str) -> Request:
    lines = head.split("\n")
    line = lines.pop(0) if lines[0].startswith("POST ") else ""
    headers = dict(one.split(": ", 1) for one in lines)
    # The page says so: shown with line breaks, sent and signed without.
    sent = orjson.dumps(orjson.loads(body)) if "\n" in body else body.encode()
    return Request(line, headers, sent, key)
