"""Objects in S3, by a server that checks signatures as AWS does."""

import gzip
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any
from urllib.request import Request, urlopen

import boto3
import orjson
import pytest
from pyarrow import BufferReader, parquet
from tests.webhooks.conftest import Receiver, Says
from tests.webhooks.destinations.stages import (
    LOOPBACK,
    Stage,
    a_port_of_nobody,
    a_silent_server,
    fault_found,
    name_of,
    parts,
)

from offhook import ids
from offhook.outbound import Outbound, Reach
from offhook.webhooks.credentials import Basic, Bearer, Credentials, NoCredentials
from offhook.webhooks.destinations.buckets import opened
from offhook.webhooks.destinations.conformance import CLAIMS, Claim, Found, a_consignment
from offhook.webhooks.endpoint_settings import EndpointSettings
from offhook.webhooks.schedule import Refused, TryAgain


class BucketStage(Stage):
    nonsense = "s3://No_Bucket/prefix"
    client: Any
    bucket: str

    async def found(self) -> Sequence[Found]:
        return [found for key in self.keys() for found in _events(key, self.content(key))]

    def keys(self) -> list[str]:
        return [one["Key"] for one in self.client.list_objects_v2(Bucket=self.bucket).get("Contents", [])]

    def content(self, key: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return content


def _events(key: str, content: bytes) -> list[Found]:
    if key.endswith(".parquet"):
        lines = [row["event"].encode() for row in parquet.read_table(BufferReader(content)).to_pylist()]
    else:
        lines = (gzip.decompress(content) if key.endswith(".gz") else content).splitlines()
    return [Found(orjson.loads(line)["event_id"], line) for line in lines]


@pytest.fixture(scope="session")
def key(s3_endpoint: str) -> Basic:
    """An access key that may do everything, at a server that from now on looks at signatures."""
    iam = boto3.client("iam", endpoint_url=s3_endpoint, region_name="us-east-1", **_keys(Basic("any", "any")))
    iam.create_user(UserName="offhook")
    rights = {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}], "Version": "2012-10-17"}
    iam.put_user_policy(UserName="offhook", PolicyName="all", PolicyDocument=orjson.dumps(rights).decode())
    made = iam.create_access_key(UserName="offhook")["AccessKey"]
    iam.close()
    looks = Request(f"{s3_endpoint}/moto-api/reset-auth", b"0", {"content-type": "text/plain"}, method="POST")
    urlopen(looks).close()
    return Basic(made["AccessKeyId"], made["SecretAccessKey"])


def _keys(key: Basic) -> dict[str, str]:
    return {"aws_access_key_id": key.username, "aws_secret_access_key": key.password}


@pytest.fixture(params=["", "&gzip=true", "&format=parquet"], ids=["ndjson", "gzip", "parquet"])
async def stage(
    request: pytest.FixtureRequest, outbound: Outbound, s3_endpoint: str, key: Basic
) -> AsyncIterator[BucketStage]:
    async with a_silent_server() as silent, a_port_of_nobody() as nobody:
        endpoints = (s3_endpoint, f"http://127.0.0.1:{nobody}", f"http://127.0.0.1:{silent}")
        bucket = f"warehouse-{ids.new().hex}"
        stage = BucketStage(
            opened(parts(outbound, s3_endpoints=endpoints)),
            *(f"s3://{bucket}/raw/offhook?endpoint={one}{request.param}" for one in endpoints),
        )
        stage.credentials, stage.bucket = key, bucket
        stage.client = boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1", **_keys(key))
        stage.client.create_bucket(Bucket=bucket)
        yield stage
        stage.client.close()


plain = pytest.mark.parametrize("stage", [""], indirect=True, ids=["ndjson"])


@pytest.mark.parametrize("claim", CLAIMS, ids=name_of)
async def test_what_every_destination_keeps(claim: Claim, stage: BucketStage) -> None:
    assert await fault_found(claim, stage) == ""


@plain
async def test_an_object_lies_under_its_prefix_and_the_hour_of_its_events(stage: BucketStage) -> None:
    sent = a_consignment(stage, 2)

    told = await stage.destination.send(sent)

    hour = sent.items[0].recorded_at
    assert stage.keys() == [f"raw/offhook/date={hour:%Y-%m-%d}/hour={hour:%H}/{sent.webhook_id}.ndjson"]
    assert told.status_code == 200


@plain
@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"credentials": Basic("AKIANOBODY", "x")}, "s3_login"),
        ({"url": "s3://not-there-{id}/raw?endpoint={endpoint}"}, "s3_no_bucket"),
        ({"credentials": NoCredentials()}, "bad_authentication"),
        ({"url": "s3://bucket/raw?endpoint=http://127.0.0.1:9"}, "endpoint_not_listed"),
        ({"reach": Reach(False, ())}, "refused_url"),
    ],
    ids=["unknown key", "no bucket", "no key", "endpoint not listed", "private address"],
)
async def test_why_nothing_was_stored_is_told(
    change: dict[str, Any], code: str, stage: BucketStage, s3_endpoint: str
) -> None:
    if "url" in change:
        change = {"url": change["url"].format(id=ids.new().hex, endpoint=s3_endpoint)}

    told = await stage.destination.send(replace(a_consignment(stage), **change))

    assert told.outcome == TryAgain(code)


@plain
async def test_a_wrong_secret_is_told_so(stage: BucketStage, key: Basic) -> None:
    told = await stage.destination.send(replace(a_consignment(stage), credentials=Basic(key.username, "wrong")))

    assert told.outcome == TryAgain("s3_login")
    assert told.response is None


async def test_a_store_that_is_busy_is_given_time(outbound: Outbound, receiver: Receiver) -> None:
    stage = _at(outbound, receiver)
    receiver.says = [Says(503, {"retry-after": "3"}, b"<Error><Code>SlowDown</Code></Error>")]

    told = await stage.destination.send(a_consignment(stage))

    assert isinstance(told.outcome, TryAgain)
    assert (told.outcome.why, told.outcome.retry_after.seconds, told.busy) == ("http_503", 3, True)


async def test_what_the_store_would_never_take_is_refused(outbound: Outbound, receiver: Receiver) -> None:
    stage = _at(outbound, receiver)
    receiver.says = [Says(400, {}, b"<Error><Code>EntityTooLarge</Code></Error>")]

    told = await stage.destination.send(a_consignment(stage))

    assert told.outcome == Refused("message_too_large")


async def test_keys_of_the_process_go_to_nobody(
    outbound: Outbound, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "the-operators-own")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the-operators-own")
    stage = _at(outbound, receiver)

    await stage.destination.send(a_consignment(stage))

    (request,) = receiver.received
    assert "the-operators-own" not in str(request)
    assert "Credential=mine/" in request.headers["authorization"]


def _at(outbound: Outbound, receiver: Receiver) -> BucketStage:
    endpoint = receiver.url.removesuffix("/hook")
    destination = opened(parts(outbound, s3_endpoints=[endpoint]))
    stage = BucketStage(destination, f"s3://bucket/raw?endpoint={endpoint}")
    stage.credentials, stage.reach = Basic("mine", "secret"), LOOPBACK
    return stage


@pytest.mark.parametrize(
    ("url", "credentials", "code"),
    [
        ("s3://my-bucket", NoCredentials(), "bad_authentication"),
        ("s3://my-bucket", Bearer("x"), "bad_authentication"),
        ("s3://my-bucket?endpoint=https://elsewhere.example.com", Basic("a", "b"), "endpoint_not_listed"),
        ("s3://my-bucket?region=a/b", Basic("a", "b"), "bad_url"),
        ("s3://evil.example.com:80", Basic("a", "b"), "bad_url"),
        ("s3://user@my-bucket", Basic("a", "b"), "bad_url"),
        ("s3://my-bucket/a/../b", Basic("a", "b"), "bad_url"),
        ("s3://my-bucket/a?nonsense=1", Basic("a", "b"), "bad_url"),
        ("s3://127.0.0.1/a", Basic("a", "b"), "bad_url"),
    ],
)
async def test_an_endpoint_that_could_not_work_is_refused_with_a_cure(
    url: str, credentials: Credentials, code: str, outbound: Outbound
) -> None:
    fault = opened(parts(outbound)).check(url, EndpointSettings(), credentials)

    assert fault
    assert fault.code == code
