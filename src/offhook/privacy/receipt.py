"""What an erasure leaves behind: a signed paper that names what is gone, what is kept and why, and says no more."""

import base64
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from offhook import ids


@dataclass(frozen=True, slots=True)
class Receipt:
    """A signed erasure receipt. `document` is the canonical JSON that the Ed25519 `signature` covers; no personal value."""

    id: UUID
    document: bytes
    signature: bytes

    def shown(self) -> dict[str, Any]:
        """The receipt as the API tells it."""
        return {
            "id": ids.show("rcp", self.id),
            "object": "receipt",
            **orjson.loads(self.document),
            "document": base64.b64encode(self.document).decode(),
            "signature": base64.b64encode(self.signature).decode(),
        }
