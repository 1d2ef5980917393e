"""Webhooks by HTTP: one POST, signed (Standard Webhooks). Any 2xx is delivered."""

from datetime import UTC, datetime

from offhook.errors import Fault
from offhook.outbound import Answer, NoAnswer, Outbound
from offhook.webhooks import response
from offhook.webhooks.credentials import Credentials
from offhook.webhooks.destinations.contract import Capability, Consignment, Destination, Parts, Told
from offhook.webhooks.endpoint_settings import EndpointSettings
from offhook.webhooks.schedule import BUSY, disabling, judge


class Http:
    """HTTP receivers. Where they may be is judged by `reach` at creation and by `outbound` at every connection."""

    kinds = frozenset({"https", "http"})
    capabilities = frozenset({Capability.BATCHES})

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound

    def check(self, url: str, settings: EndpointSettings, credentials: Credentials) -> Fault | None:
        """Nothing to find here: what may be wrong takes a look-up of the name, which `reach` does."""
        return None

    async def send(self, consignment: Consignment) -> Told:
        """POST the letter, at most once."""
        answer = await self._outbound.post(
            consignment.url,
            consignment.letter.body,
            consignment.letter.headers,
            timeout_s=consignment.timeout_s,
            reach=consignment.reach,
            identity=consignment.identity,
        )
        code, text = _error(answer)
        answered = None if isinstance(answer, NoAnswer) else answer
        return Told(
            judge(answer, datetime.now(UTC), consignment.final),
            answer.timing_ms,
            code,
            text,
            answered.status if answered else None,
            response.pack(answered) if answered else None,
            disabling(answer),
            busy=answered is not None and answered.status in BUSY,
        )

    async def close(self) -> None:
        """Nothing: the connections are those of `outbound`."""


def opened(parts: Parts) -> Destination:
    """The destination of this file."""
    return Http(parts.outbound)


def _error(answer: Answer | NoAnswer) -> tuple[str | None, str | None]:
    if isinstance(answer, NoAnswer):
        return answer.code, answer.text
    if 200 <= answer.status < 300:
        return None, None
    if 300 <= answer.status < 400:
        return f"http_{answer.status}", "the receiver redirects; redirects are not followed, so give its final URL"
    if answer.status == 410:
        return "http_410", "the receiver is gone for good (410), so the endpoint was disabled"
    return f"http_{answer.status}", f"the receiver answered {answer.status}, which is no success"
