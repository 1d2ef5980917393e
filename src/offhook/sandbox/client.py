"""The adapter for the pretend platform when it is a process of its own: HTTP out, signed callbacks in.

It is what an adapter for a real platform looks like. Every request bears our call id, so placing twice is one call; no
answer to `place` is *unknown* unless the request surely never left.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from standardwebhooks import Webhook, WebhookVerificationError

from offhook.outbound import Answer, NoAnswer, Outbound, Reach, Request
from offhook.providers import CallReport, DialOrder
from offhook.providers.contract import (
    Account,
    Action,
    BadSignature,
    Capability,
    Cause,
    ControlRefused,
    DialNotSent,
    DialRefused,
    DialUnknown,
    HangUp,
    Health,
    Inbound,
    Kind,
    PlatformAway,
    PlatformRef,
    SwitchMode,
    Transfer,
    WrapUp,
)
from offhook.sandbox import script

TIMEOUT_S = 8.0


class RemotePretendPlatform:
    """One account at a pretend platform under a URL; `callback_secret` of the account signs what it calls back.

    Whoever may write accounts chooses the URL, so it is asked no further than `reach` goes.
    """

    def __init__(self, outbound: Outbound, reach: Reach, account: Account, url: str) -> None:
        self._outbound = outbound
        self._reach = reach
        self._account = account
        self._url = url.rstrip("/")

    @property
    def capabilities(self) -> frozenset[Capability]:
        return frozenset(Capability) - {Capability.SWITCH_MODE}

    async def place(self, order: DialOrder) -> PlatformRef:
        """See VoiceProvider."""
        answer = await self._send("POST", "/calls", self._order(order))
        match answer:
            case Answer(status=200 | 201, body=body):
                return PlatformRef(order.call_id, str(orjson.loads(body)["platform_ref"]))
            case Answer(status=status) if 400 <= status < 500:
                raise DialRefused(Cause(reason="provider_error", code=f"http:{status}", party="platform"))
            case NoAnswer(never_sent=True):
                raise DialNotSent
        raise DialUnknown

    async def control(self, ref: PlatformRef, action: Action) -> None:
        """See VoiceProvider."""
        match action:
            case HangUp():
                path, body = "hang-up", {}
            case Transfer(transfer_id, kind, address, timeout_s):
                path = "transfer"
                body = {"transfer_id": transfer_id.hex, "kind": kind, "address": address, "timeout_s": timeout_s}
            case WrapUp(disposition):
                path, body = "wrap-up", {"disposition": disposition}
            case SwitchMode():
                raise ControlRefused("unsupported")
        answer = await self._send("POST", f"/calls/{ref.call_id.hex}/{path}", body)
        if isinstance(answer, NoAnswer) or answer.status >= 500:
            raise PlatformAway
        if answer.status >= 400:
            raise ControlRefused(str(orjson.loads(answer.body).get("code", f"http:{answer.status}")))

    async def status(self, ref: PlatformRef) -> CallReport:
        """See VoiceProvider."""
        answer = await self._send("GET", f"/calls/{ref.call_id.hex}")
        if isinstance(answer, NoAnswer) or answer.status not in (200, 404):
            raise PlatformAway
        found = orjson.loads(answer.body) if answer.status == 200 else {}
        kind = Kind(found["status"]) if found else Kind.NOT_FOUND
        key = f"poll:{ref.call_id.hex}:{kind}"
        return CallReport(
            key=key, kind=kind, call_id=ref.call_id, platform_ref=found.get("platform_ref"), source="poll"
        )

    async def health(self) -> Health:
        """See VoiceProvider."""
        answer = await self._send("GET", "/health")
        if isinstance(answer, NoAnswer):
            return Health(False, answer.code)
        return Health(answer.status == 200, None if answer.status == 200 else f"http:{answer.status}")

    def read(self, inbound: Inbound) -> list[CallReport]:
        """See VoiceProvider. Fails closed: without a secret nothing is believed."""
        secret = self._account.secret.get("callback_secret")
        if not secret:
            raise BadSignature
        try:
            Webhook(secret).verify(inbound.body, dict(inbound.headers), json_parse=False)
            return [_report(item) for item in orjson.loads(inbound.body)["reports"]]
        except (WebhookVerificationError, ValueError, KeyError, TypeError):
            raise BadSignature from None

    def _order(self, order: DialOrder) -> dict[str, Any]:
        return {
            "call_id": order.call_id.hex,
            "to": order.to,
            "seed": order.seed,
            "mix": script.mix_of(self._account.settings, order.merge_fields),
            "ring_timeout_s": order.ring_timeout_s,
            "context_ref": order.context_ref,
            "callback_url": self._account.callback_url,
        }

    async def _send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer | NoAnswer:
        content = orjson.dumps(body) if body is not None else b""
        headers = {"content-type": "application/json"}
        return await self._outbound.send(Request(method, self._url + path, content, headers, TIMEOUT_S), self._reach)


def _report(item: Mapping[str, Any]) -> CallReport:
    at = datetime.fromisoformat(item["at"])
    kind = item["kind"] if item["kind"] in set(Kind) else Kind.UNSURE
    known = {**item, "kind": kind, "cause": item.get("cause") or _unknown_kind(item)}
    return script.report_of(UUID(item["call_id"]), item["platform_ref"], item["key"], known, at)


def _unknown_kind(item: Mapping[str, Any]) -> dict[str, Any] | None:
    # A word that we do not know yet passes through as a code, so that it is counted and seen, and changes nothing.
    return None if item["kind"] in set(Kind) else {"code": str(item["kind"])}
