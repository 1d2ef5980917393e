"""Messages as Offhook sends them, for your own tests."""

import base64
import time

from offhook_receiver import keys


def signed(body: bytes, *trusted: str, id: str = "evt_test", now: float | None = None) -> dict[str, str]:
    """The headers that vouch for `body`, signed with `whsec_` secrets and `whsk_` private keys."""
    timestamp = int(time.time() if now is None else now)
    content = f"{id}.{timestamp}.".encode() + body
    return {
        "content-type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(_sign(key, content) for key in trusted),
    }


def _sign(text: str, content: bytes) -> str:
    if text.startswith("whsk_"):
        return "v1a," + base64.b64encode(keys.private(text).sign(content)).decode()
    key = keys.parse(text)
    if not isinstance(key, keys.Shared):
        raise keys.BadKey("one signs with whsec_ or whsk_; whpk_ only verifies")
    return key.sign(content)
