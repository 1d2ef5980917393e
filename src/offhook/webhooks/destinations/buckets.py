"""Objects in S3 and what speaks like it: `s3://bucket/prefix?region=eu-central-1&endpoint=https://…&format=…&gzip=true`.

    s3://bucket/prefix/date=2026-11-22/hour=00/bat_….ndjson

At AWS unless an endpoint is named that the operator lists in OFFHOOK_S3_ENDPOINTS. Requests go through the same guard as
every webhook, so a store in a private network needs OFFHOOK_WEBHOOK_ALLOW_NETWORKS as well. A repeated consignment
takes its own object's place, with the same bytes.
"""

import asyncio
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from offhook.errors import Fault
from offhook.outbound import Answer, NoAnswer, Outbound, Request
from offhook.outbound.s3 import AccessKey, Store, is_installed, signed
from offhook.webhooks.credentials import Basic, Credentials
from offhook.webhooks.destinations.contract import (
    Capability,
    Clock,
    Consignment,
    Destination,
    Parts,
    Told,
    delivered,
    refused,
    try_again,
)
from offhook.webhooks.destinations.objects import Form, NotAForm, content_of, form_of, name_of
from offhook.webhooks.endpoint_settings import EndpointSettings
from offhook.webhooks.schedule import BUSY, read_retry_after

_BUCKET = re.compile(r"(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9-]*[a-z0-9](\.[a-z0-9][a-z0-9-]*[a-z0-9])*")
_REGION = re.compile(r"[a-z0-9-]{1,32}")
_PREFIX = re.compile(r"([A-Za-z0-9!_'()*-][A-Za-z0-9!_.'()*=-]*(/[A-Za-z0-9!_'()*-][A-Za-z0-9!_.'()*=-]*)*)?")
_CODE = re.compile(rb"<Code>([A-Za-z]{1,64})</Code>")
_KNOWN = {
    "AccessDenied": ("s3_denied", "the access key may not put objects there; it needs s3:PutObject"),
    "InvalidAccessKeyId": ("s3_login", "the object store does not know this access key"),
    "SignatureDoesNotMatch": ("s3_login", "the secret of the access key is another, or the region is"),
    "AuthorizationHeaderMalformed": ("s3_region", "the bucket is in another region; name it in the URL as region="),
    "PermanentRedirect": ("s3_region", "the bucket is in another region; name it in the URL as region="),
    "NoSuchBucket": ("s3_no_bucket", "there is no such bucket; make it, or mend the URL"),
    "RequestTimeTooSkewed": ("s3_clock", "the clocks of this machine and of the object store differ too much"),
}
_TOO_LARGE = "EntityTooLarge"


@dataclass(frozen=True, slots=True)
class Place:
    """What a URL names; `endpoint` is None for AWS."""

    bucket: str
    prefix: str
    region: str
    endpoint: str | None
    form: Form


class Buckets:
    """Object stores."""

    kinds = frozenset({"s3"})
    capabilities = frozenset({Capability.BATCHES, Capability.LARGE_BATCHES, Capability.ONCE})

    def __init__(self, outbound: Outbound, endpoints: tuple[str, ...]) -> None:
        """`endpoints` are the only ones that may be named beside AWS."""
        self._outbound = outbound
        self._endpoints = {_same(one) for one in endpoints}

    def check(self, url: str, settings: EndpointSettings, credentials: Credentials) -> Fault | None:
        """Of the operator: the signer and the endpoint. Of the owner: the URL and an access key."""
        place = place_of(url)
        if isinstance(place, Fault):
            return place
        if not is_installed():
            return Fault("url", "extra_missing", "S3 needs the extra offhook[files]; the operator installs it.")
        if not self._listed(place):
            return Fault(
                "url", "endpoint_not_listed", "The operator lists object stores beside AWS in OFFHOOK_S3_ENDPOINTS."
            )
        if not isinstance(credentials, Basic):
            return Fault(
                "authentication",
                "bad_authentication",
                "For S3 it is basic: the id of an access key as username, its secret as password.",
            )
        return None

    async def send(self, consignment: Consignment) -> Told:
        """PUT its object."""
        clock = Clock()
        place, key = place_of(consignment.url), consignment.credentials
        if isinstance(place, Fault):
            return try_again(place.code, place.detail, clock.timing_ms)
        if not isinstance(key, Basic) or not is_installed():
            text = "S3 needs a basic authentication, and the extra offhook[files]"
            return try_again("bad_authentication", text, clock.timing_ms)
        if not self._listed(place):
            return try_again("endpoint_not_listed", "the operator lists this object store no more", clock.timing_ms)
        try:
            async with asyncio.timeout(consignment.timeout_s):
                # In a thread: a large batch takes long to pack, and the first of all loads its library.
                request = await asyncio.to_thread(_request, place, key, consignment)
                answer = await self._outbound.send(request, consignment.reach, identity=consignment.identity)
        except TimeoutError:
            return try_again("timeout", "the object was not stored in time", clock.timing_ms)
        return _told(answer)

    async def close(self) -> None:
        """Nothing: the connections are those of `outbound`."""

    def _listed(self, place: Place) -> bool:
        return place.endpoint is None or _same(place.endpoint) in self._endpoints


def opened(parts: Parts) -> Destination:
    """The destination of this file."""
    return Buckets(parts.outbound, parts.settings.s3_endpoints)


def place_of(url: str) -> Place | Fault:
    """Where a URL points, or what is wrong with it. Pure."""
    try:
        parts = urlsplit(url)
        form, told = form_of(parts.query, frozenset({"region", "endpoint"}))
    except NotAForm as why:
        return Fault("url", "bad_url", str(why))
    except ValueError:
        return _bad("This is no URL")
    prefix, region = parts.path.strip("/"), told.get("region", "us-east-1")
    if not 3 <= len(parts.netloc) <= 63 or not _BUCKET.fullmatch(parts.netloc) or parts.fragment:
        return _bad("A bucket has 3 to 63 small letters, digits, - and .")
    if len(prefix) > 512 or not _PREFIX.fullmatch(prefix):
        return _bad("A prefix has letters, digits and -_.!*'()= between slashes")
    if not _REGION.fullmatch(region):
        return _bad("A region looks like eu-central-1")
    return Place(parts.netloc, prefix, region, told.get("endpoint"), form)


def _bad(why: str) -> Fault:
    return Fault("url", "bad_url", f"{why}; write it as s3://my-bucket/offhook?region=eu-central-1&format=parquet.")


def _same(endpoint: str) -> str:
    return endpoint.rstrip("/").lower()


def _request(place: Place, key: Basic, consignment: Consignment) -> Request:
    store = Store(place.region, place.bucket, place.endpoint)
    name = "/".join(part for part in (place.prefix, name_of(consignment, place.form)) if part)
    content = content_of(consignment, place.form)
    request = store.put(name, content, place.form.content_type, consignment.timeout_s)
    return signed(request, AccessKey(key.username, key.password), place.region)


def _told(answer: Answer | NoAnswer) -> Told:
    if isinstance(answer, NoAnswer):
        return try_again(answer.code, answer.text, answer.timing_ms)
    status = answer.status
    if 200 <= status < 300:
        return delivered(answer.timing_ms, status)
    found = _CODE.search(answer.body)  # nothing else of the answer is kept: it may repeat what we signed
    said = found[1].decode() if found else ""
    if said == _TOO_LARGE or status == 413:
        text = "the object is larger than the store takes"
        return refused("message_too_large", text, answer.timing_ms, status_code=status)
    code, text = _KNOWN.get(said, (f"http_{status}", f"the object store answered {status}, which is no success"))
    if status not in BUSY:
        return try_again(code, text, answer.timing_ms, status_code=status)
    asked = read_retry_after(answer.headers.get("retry-after", ""), datetime.now(UTC))
    return try_again(code, text, answer.timing_ms, status_code=status, retry_after=asked, busy=True)
