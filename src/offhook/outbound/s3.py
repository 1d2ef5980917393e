"""Requests to S3 and what speaks like it, signed (AWS Signature Version 4). Pure: `Outbound` sends them.

So an object store is behind the same guard as every receiver. The signer is AWS's own, given nothing but what stands
here: an S3 client would open connections of its own, and would read the keys of this process from its environment.
"""

from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from urllib.parse import quote

from offhook.outbound.answer import Request


@dataclass(frozen=True, slots=True)
class AccessKey:
    """Who asks."""

    id: str
    secret: str = field(repr=False)


def is_installed() -> bool:
    """Whether the signer is there."""
    return find_spec("botocore") is not None


def object_url(endpoint: str | None, region: str, bucket: str, key: str) -> str:
    """The URL of an object at AWS, or at an `endpoint` that takes buckets as the first part of the path."""
    path = quote(key, safe="/-_.~")
    if endpoint is not None:
        return f"{endpoint.rstrip('/')}/{bucket}/{path}"
    if "." in bucket:  # no certificate has such a name
        return f"https://s3.{region}.amazonaws.com/{bucket}/{path}"
    return f"https://{bucket}.s3.{region}.amazonaws.com/{path}"


def signed(request: Request, key: AccessKey, region: str) -> Request:
    """The request with its body, its moment and its headers signed. The first takes a second: it loads the signer."""
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    told = AWSRequest(request.method, request.url, dict(request.headers), request.body)
    S3SigV4Auth(Credentials(key.id, key.secret), "s3", region).add_auth(told)
    return replace(request, headers=dict(told.headers.items()))
