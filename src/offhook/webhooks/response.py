"""What a receiver answered, packed to be sealed: its headers as one line of JSON, then its body byte for byte."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import orjson

from offhook.outbound import Answer


@dataclass(frozen=True, slots=True)
class Response:
    """Headers (names in lower case) and at most 16 KB of body."""

    headers: Mapping[str, str]
    body: bytes
    truncated: bool


def pack(answer: Answer) -> bytes | None:
    """The bytes to seal; None for a success without a body, of which there is nothing to tell."""
    if not answer.body and 200 <= answer.status < 300:
        return None
    return orjson.dumps([answer.headers, answer.truncated]) + b"\n" + answer.body


def unpack(packed: bytes) -> Response:
    """What `pack` packed."""
    head, _, body = packed.partition(b"\n")
    headers, truncated = orjson.loads(head)
    return Response(headers, body, truncated)


def place(delivery: UUID, n: int) -> bytes:
    """Where the response of a try is sealed, so that it opens nowhere else."""
    return b"response:" + delivery.bytes + n.to_bytes(2, "big")


def place_of_request(delivery: UUID, n: int) -> bytes:
    """Where the headers that a try sent are sealed."""
    return b"request:" + delivery.bytes + n.to_bytes(2, "big")
