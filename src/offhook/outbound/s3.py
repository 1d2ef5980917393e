"""Requests to S3 and what speaks like it, signed (AWS Signature Version 4). Pure: `Outbound` sends them.

So an object store is behind the same guard as every receiver. The signer is AWS's own, given nothing but what stands
here: an S3 client would open connections of its own, and would read the keys of this process from its environment.
"""

from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from urllib.parse import quote, urlsplit

from offhook.outbound.answer import Request


@dataclass(frozen=True, slots=True)
class AccessKey:
    """Who asks."""

    id: str
    secret: str = field(repr=False)


def is_installed() -> bool:
    """Whether the signer is there."""
    return find_spec("botocore") is not None


@dataclass(frozen=True, slots=True)
class Store:
    """A bucket, at AWS or at an `endpoint` that has buckets in its paths."""

    region: str
    bucket: str
    endpoint: str | None = None

    def put(self, key: str, body: bytes, content_type: str, timeout_s: float) -> Request:
        """The request that stores an object, not signed yet.

        The URL is that of the store, and the path apart: it is signed as it stands on the wire, and the guard, which
        knows a store once it has judged it, need not learn every object.
        """
        path = "/" + quote(key, safe="/-_.~")
        if self.endpoint is not None:
            at = urlsplit(self.endpoint)
            url, path = f"{at.scheme}://{at.netloc}", f"{at.path.rstrip('/')}/{self.bucket}{path}"
        elif "." in self.bucket:  # no certificate has such a name
            url, path = f"https://s3.{self.region}.amazonaws.com", f"/{self.bucket}{path}"
        else:
            url = f"https://{self.bucket}.s3.{self.region}.amazonaws.com"
        return Request("PUT", url, body, {"content-type": content_type}, timeout_s, path)


def signed(request: Request, key: AccessKey, region: str) -> Request:
    """The request with its body, its moment and its headers signed. The first takes a second: it loads the signer."""
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    told = AWSRequest(request.method, request.url + (request.path or ""), dict(request.headers), request.body)
    S3SigV4Auth(Credentials(key.id, key.secret), "s3", region).add_auth(told)
    return replace(request, headers=dict(told.headers.items()))
