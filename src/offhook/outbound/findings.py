"""What a diagnosis says in words: what is wrong, and what its owner can do. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Literal

from offhook.outbound.answer import Answer, Lost, NoAnswer
from offhook.outbound.handshake import Certificate, TlsTrouble

SOON = timedelta(days=14)
_SKEW_S = 60.0


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in the way, or soon to be: `code` for machines, `detail` what was found, `cure` what to do about it."""

    code: str
    detail: str
    cure: str


@dataclass(frozen=True, slots=True)
class Skew:
    """How far the receiver's clock is ahead of ours (behind when negative), in seconds, give or take `within_s`.

    Its `Date` header counts whole seconds, so it cannot be known better than to half a second and half the round trip.
    """

    ahead_s: float
    within_s: float


OPENING = "Give an address that the public can reach, or let the operator of this installation open that network."
_LOST: dict[Lost, str] = {
    "dns": "Check the spelling of the host, and that it has an A or AAAA record.",
    "connect_refused": "Start the receiver, or open its port in the firewall for our addresses.",
    "connect_timeout": "Open the port in the receiver's firewall for our addresses.",
    "tls": "Look at the certificates, the receiver's and ours.",
    "timeout": "Answer first and work afterwards: a receiver should say 200 within a second.",
    "reset": "Look into the receiver's log: it closed the connection before its answer was complete.",
    "refused_address": OPENING,
    "refused_url": "Change the URL.",
    "protocol": "Let the receiver speak HTTP/1.1 at this port.",
}
_TLS: dict[TlsTrouble, tuple[str, str]] = {
    "certificate_expired": ("the receiver's certificate has expired", "Renew it, and let the server load it."),
    "certificate_not_yet_valid": (
        "the receiver's certificate is not valid yet",
        "Serve one that is, or wait; check the clock of who issued it.",
    ),
    "certificate_self_signed": (
        "the receiver's certificate is signed by itself",
        "Serve one of a public CA, or give the endpoint the CA that it should trust.",
    ),
    "certificate_of_unknown_ca": (
        "no CA that is trusted here stands behind the receiver's certificate",
        "Serve the whole chain with its intermediates; if the CA is your own, give it to the endpoint.",
    ),
    "certificate_of_another_name": (
        "the receiver's certificate is not for this host",
        "Serve one whose names hold the URL's host, or change the URL.",
    ),
    "certificate_weak": ("the receiver's keys or signatures are too weak", "Use EC P-256 or RSA 2048 with SHA-256."),
    "certificate_not_accepted": ("the receiver's certificate is not fit for a server", "Serve one that is."),
    "not_tls": ("the receiver does not speak TLS at this port", "Check the port; 443 is usual for https."),
    "no_common_protocol": ("the receiver offers no TLS version that is accepted here", "Enable TLS 1.2 or 1.3 there."),
    "hung_up": (
        "the receiver hung up during the TLS handshake",
        "Look into its log; a firewall that judges by host name does this too.",
    ),
    "timeout": ("the TLS handshake was not done in time", "Look at the receiver's load and its firewall."),
    "handshake_failed": ("the TLS handshake failed", "Look into the receiver's log: it says which side did not agree."),
}


def of_tls(trouble: TlsTrouble, *, as_client: bool) -> Finding:
    """`as_client`: we showed a client certificate."""
    if trouble != "client_certificate_refused":
        detail, cure = _TLS[trouble]
        return Finding(trouble, f"{detail[0].upper()}{detail[1:]}.", cure)
    if as_client:
        detail = "The receiver did not accept our client certificate."
        return Finding(trouble, detail, "Let the receiver trust the CA of that certificate, or give its successor.")
    detail = "The receiver wants a client certificate, and the endpoint has none."
    return Finding("client_certificate_wanted", detail, "Give the endpoint a client certificate with its key.")


def of_silence(lost: Literal["connect_refused", "connect_timeout"]) -> Finding:
    """Of all addresses that were tried."""
    detail = {
        "connect_refused": "The receiver did not accept the connection.",
        "connect_timeout": "The receiver did not answer the connection in time.",
    }
    return Finding(lost, detail[lost], _LOST[lost])


def of_some_silence(addresses: Sequence[str]) -> Finding:
    detail = f"No connection stands to {', '.join(addresses)}; another address of the name has one."
    return Finding("address_silent", detail, "Mend it or take it out of the DNS: requests lose time on it.")


def of_no_answer(lost: NoAnswer) -> Finding:
    return Finding(lost.code, f"{lost.text[0].upper()}{lost.text[1:]}.", _LOST[lost.code])


def of_answer(answer: Answer) -> list[Finding]:
    if 200 <= answer.status < 300:
        return []
    detail = f"The receiver answered {answer.status}."
    if 300 <= answer.status < 400:
        return [Finding("redirect", detail, "Give the URL that it leads to: redirects are not followed.")]
    if answer.status in (401, 403):
        return [Finding("not_2xx", detail, "Let the receiver check our signature rather than a login of its own.")]
    return [Finding("not_2xx", detail, "Let the receiver answer 2xx to what it takes; its log says why it did not.")]


def of_chain(chain: Sequence[Certificate], now: datetime) -> list[Finding]:
    if not chain or chain[0].not_after - now > SOON or chain[0].not_after < now:
        return []
    detail = f"The receiver's certificate ends on {chain[0].not_after:%Y-%m-%d %H:%M} UTC."
    return [Finding("certificate_ends_soon", detail, "Renew it before, best by a machine.")]


def of_identity(expires_at: datetime, now: datetime) -> list[Finding]:
    if expires_at - now > SOON:
        return []
    past = "ended" if expires_at < now else "end"
    detail = f"Our client certificate or its CA {past} on {expires_at:%Y-%m-%d %H:%M} UTC."
    return [Finding("identity_ends_soon", detail, "Give the endpoint its successor.")]


def skew_of(date: str | None, sent: datetime, received: datetime) -> Skew | None:
    """The skew by a `Date` header; None: it has none that can be read."""
    try:
        theirs = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    if theirs.tzinfo is None:
        theirs = theirs.replace(tzinfo=UTC)
    half_trip = (received - sent) / 2
    middle = theirs + timedelta(seconds=0.5)
    return Skew((middle - (sent + half_trip)).total_seconds(), 0.5 + half_trip.total_seconds())


def of_skew(skew: Skew) -> list[Finding]:
    if abs(skew.ahead_s) <= _SKEW_S + skew.within_s:
        return []
    side = "ahead of" if skew.ahead_s > 0 else "behind"
    detail = f"The receiver's clock is {abs(skew.ahead_s):.0f} s {side} ours, give or take {skew.within_s:.1f} s."
    return [Finding("clock_skew", detail, "Set it by NTP: beyond five minutes our signatures count as too old or new.")]
