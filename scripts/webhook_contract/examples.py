"""Messages as they go over the wire, written by the code that sends them, and the requests that make such endpoints.

The same at every run: what is fresh in a sample (its ids) is replaced, the clock stands, and the keys are those of
`vectors/sign.json`.
"""

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import orjson

from offhook import ids
from offhook.db import Tenant
from offhook.events import sample_of
from offhook.events.catalogue.contexts import NOW
from offhook.events.log import _Scribe  # the one hand that writes envelopes; no other knows the order of their fields
from offhook.webhooks import letter
from offhook.webhooks.directory import Endpoint
from offhook.webhooks.endpoint_settings import EndpointSettings, SecondSignatureIn
from offhook.webhooks.parcel import Message, Parcel
from offhook.webhooks.proofs import Proofs
from offhook.webhooks.rendering import Rendering
from offhook.webhooks.rotation import Keys, Ring
from offhook.webhooks.signing import Secret

SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="  # noqa: S105  # of vectors/sign.json, known to all
STRIPE_SECRET = "whsec_5f0aBcDeFgHiJkLmNoPqRsTuVwXyZ012"  # noqa: S105  # of the form that Stripe gives out; nobody's
GITHUB_SECRET = "It's a Secret to Everybody"  # noqa: S105  # from GitHub's own documentation
AT = datetime.fromisoformat(NOW)

_ID = re.compile(r"\b([a-z]+)_[0-7][0-9a-hjkmnp-tv-z]{25}\b")
_BORN = int(datetime(2026, 11, 21, 17, tzinfo=UTC).timestamp() * 1000)


class Ids:
    """Ids that are the same at every run: the nth of each kind."""

    def __init__(self) -> None:
        self._shown: dict[str, str] = {}
        self._made: set[UUID] = set()

    def uuid(self) -> UUID:
        """A UUIDv7 of the day of the examples."""
        count = len(self._made) + 1
        noise = count * 0x1B873593CC9E2D51 % (1 << 62)
        made = UUID(int=(_BORN << 80) | (0x7000 + count << 64) | (1 << 63) | noise)
        self._made.add(made)
        return made

    def steady(self, text: str) -> str:
        """The text with every id in it replaced, the same one by the same one."""

        def replaced(found: re.Match[str]) -> str:
            prefix: Any = found[1]
            if ids.read(prefix, found[0]) in self._made:
                return found[0]
            if found[0] not in self._shown:
                self._shown[found[0]] = ids.show(prefix, self.uuid())
            return self._shown[found[0]]

        return _ID.sub(replaced, text)


_IDS = Ids()
TENANT = Tenant(_IDS.uuid(), "live")
_ENDPOINT = _IDS.uuid()


def envelope(type: str, sequence: int = 1, subject: UUID | None = None) -> bytes:
    """What the log would hold of a sample of that type, as one that really happened."""
    sample = sample_of(type, AT)
    tx: Any = SimpleNamespace(tenant=TENANT, now=AT)
    shown = ids.show(sample.subject_prefix, subject or sample.subject_id)
    told = _Scribe(tx).envelope(replace(sample, test=False), ids.show("evt", sample.id), shown, sequence)
    return _IDS.steady(told.decode()).encode()


def parcel(told: bytes, rendering: Rendering, **more: Any) -> Parcel:
    """An event on its way. With `erased`, its person is no more."""
    event = orjson.loads(told)
    id, erased = ids.read("evt", event["event_id"]), more.pop("erased", False)
    message = Message(
        id=id,
        shown_id=event["event_id"],
        type=event["type"],
        subject_type=event["subject"]["type"],
        subject_shown_id=event["subject"]["id"],
        sequence=event["sequence"],
        occurred_at=AT,
        person=None,
        key=None,
        rendered=None if erased else rendering.render(told, {}, lambda value: value),
        word=rendering.word,
    )
    return Parcel(TENANT, ids.delivery_of(id, _ENDPOINT), _ENDPOINT, message, timedelta(), 0.0, **more)


def request(tolds: Sequence[bytes], *, late: timedelta = timedelta(), batch: bool = False, **more: Any) -> str:
    """The request that tells an endpoint of these, as a block; `more` are its settings and the parcel's state."""
    state = {name: more.pop(name) for name in ("tries", "replay", "out_of_order", "erased") if name in more}
    settings = EndpointSettings.model_validate(more)
    keys = Keys(Ring(Secret.parse(SECRET)))
    endpoint = Endpoint(_ENDPOINT, "https://crm.example.com/offhook", ("*",), "active", settings, Proofs(keys))
    bound = {"batch": _IDS.uuid()} if batch else {}
    parcels = [parcel(told, settings.rendering, **state, **bound) for told in tolds]
    said = letter.write(endpoint, parcels, AT + late, proof={}, erased=())
    headers = "".join(f"{name}: {value}\n" for name, value in said.headers.items())
    return f"```http\nPOST /offhook HTTP/1.1\nhost: crm.example.com\n{headers}\n{pretty(said.body)}\n```"


def pretty(body: bytes) -> str:
    """The JSON with line breaks; without them, and the blanks beside them, it is the body again."""
    told = orjson.loads(body)
    assert orjson.dumps(told) == body
    return orjson.dumps(told, option=orjson.OPT_INDENT_2).decode()


def campaign(*types: str) -> list[bytes]:
    """Events about one campaign, which are short: no context rides along."""
    about = _IDS.uuid()
    return [envelope(type, n, about) for n, type in enumerate(types, 1)]


def call(path: str, body: dict[str, Any]) -> str:
    """A request to the API, as a block."""
    head = f"POST {path} HTTP/1.1\ncontent-type: application/json\nauthorization: Bearer ofk_…"
    return f"```http\n{head}\n\n{orjson.dumps(body, option=orjson.OPT_INDENT_2).decode()}\n```"


def from_stripe() -> dict[str, Any]:
    """An endpoint whose second signature a verifier of Stripe's believes: it is keyed with the whole text."""
    second: dict[str, Any] = {"header": "stripe-signature", "style": "timestamped_hex"}
    key = STRIPE_SECRET
    if "verbatim_key" in SecondSignatureIn.model_fields:
        second["verbatim_key"] = True
    else:
        key = "whsec_" + b64encode(key.encode()).decode()  # decoded by us, so every letter of it is left
    return _endpoint({"second_signature": second, "second_signature_key": key})


def how_stripes_key_is_meant() -> str:
    """What to send as the key, as the code has it now."""
    if "verbatim_key" in SecondSignatureIn.model_fields:
        return "`verbatim_key` says that its every letter counts, `whsec_` included"
    return "send `whsec_` and the base64 of the whole text, so that decoding gives the text back"


def from_github() -> dict[str, Any]:
    """The same in the style of GitHub."""
    second = {"header": "x-hub-signature-256", "style": "plain_hex", "prefix": "sha256="}
    return _endpoint({"second_signature": second, "second_signature_key": GITHUB_SECRET})


def from_svix() -> dict[str, Any]:
    """An endpoint that signs with the secret of another sender that follows Standard Webhooks."""
    return _endpoint({"secret": SECRET})


def _endpoint(more: dict[str, Any]) -> dict[str, Any]:
    return {"url": "https://crm.example.com/hooks", "events": ["lead.*", "call.*"], **more}
