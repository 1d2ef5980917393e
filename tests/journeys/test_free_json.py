"""Fields whose inside is the customer's own JSON, at every door that takes them."""

from typing import Any

import orjson
import pytest
from tests.journeys.stage import NO_ANSWER, Stage

LEAD = {"client_ref_id": "LD-1", "contact": {"phone": NO_ANSWER}}
TARGET = {"name": "Floor", "kind": "queue", "address": "floor"}
ENDPOINT = {"url": "https://hooks.example.com", "events": ["*"], "activate": False}
UNKEEPABLE = {
    "out_of_range": [b"89014103211118510720", b"1e999", b"[NaN]"],
    "nested_too_deep": [b'{"a":' * 33 + b"1" + b"}" * 33, b"[" * 300 + b"]" * 300],
}


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/leads", LEAD, "metadata"),
        ("/v1/opt-outs", {"channel": "web", "phone": NO_ANSWER}, "evidence"),
        ("/v1/postbacks", {"type": "conversion", "client_ref_id": "LD-1"}, "data"),
        ("/v1/campaigns", {"name": "Solar"}, "metadata"),
        ("/v1/cadences", {"name": "Calm"}, "metadata"),
        ("/v1/targets", TARGET, "metadata"),
        ("/v1/webhook-endpoints", ENDPOINT, "metadata"),
        ("/v1/provider-accounts", {"provider": "sandbox", "name": "Another"}, "settings"),
    ],
)
async def test_what_could_not_be_told_again_is_refused_by_its_place(
    stage: Stage, path: str, body: dict[str, Any], field: str
) -> None:
    head = orjson.dumps(body)[:-1] + f',"{field}":{{"a":'.encode()

    for code, values in UNKEEPABLE.items():
        for value in values:
            reply = await stage.api.request("POST", path, content=head + value + b"}}", Content_Type="application/json")
            assert (reply.status, reply.json.get("code"), reply.json.get("param")) == (422, code, field)

    await stage.post(path, {**body, field: {"iccid": "89014103211118510720", "largest": 2**64 - 1, "deep": [[[1.5]]]}})
