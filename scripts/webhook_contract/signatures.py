"""Signatures to recompute: cases of `vectors/sign.json`, each with a few lines of Python that come to the same."""

from collections.abc import Mapping
from typing import Any

from facts import vector

_STANDARD = """```python
import base64, hashlib, hmac

key = base64.b64decode({key!r})  # what follows whsec_
content = b{content!r}  # id.timestamp.body
signature = "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
assert signature == {signature!r}
```"""
_ED25519 = """```python
import base64
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

key = base64.b64decode({key!r})  # what follows whpk_
signature = base64.b64decode({signature!r})  # what follows v1a,
content = b{content!r}
Ed25519PublicKey.from_public_bytes(key).verify(signature, content)  # raises when it does not fit
```"""
_HEX = """```python
import hashlib, hmac

body = {body!r}
content = {before!r} + body
digest = hmac.digest({key!r}.encode(), content.encode(), hashlib.sha256).hex()
assert {head!r} + digest == {signature!r}
```"""


def standard() -> str:
    case = vector("the example of the specification")
    lines = _STANDARD.format(key=_after(case["keys"][0]), content=_content(case), signature=case["signature"])
    return f"{_received(case, 'webhook-signature')}\n\nsigned with `{case['keys'][0]}`:\n\n{lines}"


def ed25519() -> str:
    case = vector("the example of a sender that signs with ed25519")
    public, signature = case["public_keys"][0], _after(case["signature"], ",")
    lines = _ED25519.format(key=_after(public), content=_content(case), signature=signature)
    return f"{_received(case, 'webhook-signature')}\n\nverified with `{public}`:\n\n{lines}"


def timestamped_hex() -> str:
    case = vector("the older style with a timestamp")
    return _by_hex(case, "x-signature", before=f"{case['timestamp']}.", head=f"t={case['timestamp']},v1=")


def plain_hex() -> str:
    case = vector("the older style of the body alone, with a prefix")
    return _by_hex(case, "x-hub-signature-256", before="", head=case["prefix"])


def _by_hex(case: Mapping[str, Any], header: str, *, before: str, head: str) -> str:
    key = case["keys"][0]
    lines = _HEX.format(body=case["body"], before=before, key=key, head=head, signature=case["signature"])
    return f"{_received(case, header)}\n\nsigned with `{key}`:\n\n{lines}"


def _received(case: Mapping[str, Any], header: str) -> str:
    names = (("webhook-id", "id"), ("webhook-timestamp", "timestamp")) if "id" in case else ()
    head = "".join(f"{name}: {case[key]}\n" for name, key in names)
    return f"```http\n{head}{header}: {case['signature']}\n\n{case['body']}\n```"


def _content(case: Mapping[str, Any]) -> str:
    return f"{case['id']}.{case['timestamp']}.{case['body']}"


def _after(text: str, mark: str = "_") -> str:
    return text.partition(mark)[2]
