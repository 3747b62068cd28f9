"""The AWS door over loopback: real SDK clients and raw requests, against a few small real handlers."""

import asyncio
import io
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import boto3
import pytest
from aiohttp import web
from botocore.config import Config
from botocore.exceptions import ClientError
from responses import assert_answer, assert_modelled
from signing import presigned, signed

from mirror.aws.errors import AccessDenied, InvalidLayerPart, RepositoryNotFound, UnrecognizedClient
from mirror.aws.principals import Principal, root_of
from mirror.oci.errors import RegistryError
from mirror.oci.names import Registry
from mirror.web.aws.bodies import LARGE_BYTES, Bodies
from mirror.web.aws.call import Call
from mirror.web.aws.claim import Claim
from mirror.web.aws.json11 import CONTENT_TYPE, PART_BYTES_MAX, JsonApi
from mirror.web.aws.models import Models
from mirror.web.aws.query import QueryApi
from mirror.web.aws.reception import Found, Reception
from mirror.web.server import Server
from mirror.web.slow import SlowClock

MODELS = Models.load()
ACCOUNT = "012345678910"
ANN = Principal("user", ACCOUNT, "ann", id="AIDAANN")
SESSION = boto3.session.Session()  # its loader remembers the models
KEY, SECRET = "AKIDEXAMPLE", "secret"
TARGET = "AmazonEC2ContainerRegistry_V20150921."
POLICY = '{"Version":"2012-10-17","Statement":[]}'


class Registered:
    """The keys of one user."""

    async def find(self, claim: Claim) -> Found:
        if claim.key_id != KEY:
            raise UnrecognizedClient
        return Found(ANN, SECRET)


async def describe_repositories(call: Call) -> Mapping[str, Any]:
    names = call.input.get("repositoryNames", ["app"])
    if "missing" in names:
        raise RepositoryNotFound("missing", Registry(ACCOUNT))
    made = [{"repositoryName": name, "registryId": ACCOUNT, "createdAt": 1563223656.25} for name in names]
    return {"repositories": made, "nextToken": None}


async def upload_layer_part(call: Call) -> Mapping[str, Any]:
    part = call.input["layerPartBlob"]
    if call.input["partFirstByte"]:
        extra = {"repositoryName": "app", "uploadId": call.input["uploadId"], "lastValidByteReceived": 7}
        raise InvalidLayerPart("Invalid layer part upload", detail={**extra, "registryId": None})
    return {"uploadId": call.input["uploadId"], "lastByteReceived": len(part) - 1}


async def get_registry_policy(call: Call) -> Mapping[str, Any]:
    raise RuntimeError("a fault of ours, with a secret in it")


async def public_token(call: Call) -> Mapping[str, Any]:
    return {"authorizationData": {"authorizationToken": "QVdTOg==", "expiresAt": 1652770573.652}}


async def get_caller_identity(call: Call) -> Mapping[str, Any]:
    return {"UserId": call.principal.id, "Account": call.principal.account, "Arn": call.principal.arn}


async def create_user(call: Call) -> Mapping[str, Any]:
    name = call.input["UserName"]
    user = {
        "Path": call.input.get("Path", "/"),
        "UserName": name,
        "UserId": "AIDAX",
        "Arn": f"arn:aws:iam::{ACCOUNT}:user/{name}",
        "CreateDate": 1563223656.0,
        "Tags": call.input.get("Tags"),
    }
    return {"User": user}


async def get_user_policy(call: Call) -> Mapping[str, Any]:
    return {"UserName": call.input["UserName"], "PolicyName": "<&>\r\x01é", "PolicyDocument": POLICY}


class Audited:
    """What was noted, and who may do what: no user called `root` is made."""

    def __init__(self) -> None:
        self.noted: list[tuple[Call, RegistryError | None]] = []

    def authorize(self, call: Call) -> None:
        if call.input.get("UserName") == "root" or call.input.get("repositoryName") == "closed":
            raise AccessDenied(f"User: {call.principal.arn} is not authorized to perform: {call.operation}")

    def audit(self, call: Call, error: RegistryError | None) -> None:
        self.noted.append((call, error))


class Door:
    """The two APIs on one port, as the node has them."""

    def __init__(self, url: str, audited: Audited, session: aiohttp.ClientSession, trusted: list[Principal]) -> None:
        self.url = url
        self.noted = audited.noted
        self.session = session
        self.trusted = trusted

    def client(self, service: str, **more: Any) -> Any:
        credentials = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, **more}
        config = Config(retries={"max_attempts": 0}, proxies={})
        return SESSION.client(service, region_name="us-east-1", endpoint_url=self.url, config=config, **credentials)

    async def call(self, service: str, operation: str, **arguments: Any) -> Any:
        """Call by boto3, as a user does."""
        return await self.sdk(lambda: getattr(self.client(service), operation)(**arguments))

    async def sdk(self, work: Callable[[], Any]) -> Any:
        return await asyncio.to_thread(work)

    async def post(
        self, target: str, body: bytes, *, service: str = "ecr", headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any, bytes]:
        """Send a JSON call that is signed but not looked at by an SDK."""
        named = {"X-Amz-Target": target, "Content-Type": CONTENT_TYPE}
        head = signed("POST", self.url, body, service, "us-east-1", KEY, SECRET, headers=named)
        return await self.send("POST", "/", body, {**head, **(headers or {})})

    async def send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, Any, bytes]:
        async with self.session.request(
            method, self.url + path.removeprefix("/"), data=io.BytesIO(body), headers=headers
        ) as got:
            return got.status, got.headers, await got.read()


@asynccontextmanager
async def door(large: Bodies | None = None) -> AsyncIterator[Door]:
    audited = Audited()
    slow = SlowClock()
    reception = Reception(
        MODELS,
        {
            ("ecr", "DescribeRepositories"): describe_repositories,
            ("ecr", "UploadLayerPart"): upload_layer_part,
            ("ecr", "GetRegistryPolicy"): get_registry_policy,
            ("ecr-public", "GetAuthorizationToken"): public_token,
            ("sts", "GetCallerIdentity"): get_caller_identity,
            ("iam", "CreateUser"): create_user,
            ("iam", "GetUserPolicy"): get_user_policy,
        },
        Registered(),
        audited.authorize,
        audited.audit,
        regions=("us-east-1", "eu-central-1"),
        bodies=large or Bodies(slow),
    )
    json_api, query_api = JsonApi(reception), QueryApi(reception)
    trusted: list[Principal] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        api = json_api if "X-Amz-Target" in request.headers else query_api
        return await api.handle(request, trusted[0] if trusted else None)

    server = Server(handle, express=None, slow=slow, connections_max=64)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
    try:
        async with aiohttp.ClientSession() as session:
            yield Door(url, audited, session, trusted)
    finally:
        listening.close()
        server.pre_shutdown()
        await server.shutdown(1.0)


def error_of(error: ClientError) -> tuple[str, str, int]:
    said = error.response["Error"]
    return said["Code"], said["Message"], error.response["ResponseMetadata"]["HTTPStatusCode"]


async def test_an_sdk_calls_an_operation_of_ecr() -> None:
    """ECR.md 3.1: JSON 1.1 with SigV4, a request id on every reply."""
    async with door() as node:
        got = await node.call("ecr", "describe_repositories", repositoryNames=["app", "team/web"])
        assert [one["repositoryName"] for one in got["repositories"]] == ["app", "team/web"]
        assert got["repositories"][0]["createdAt"].timestamp() == 1563223656.25
        assert "nextToken" not in got
        ((call, error),) = node.noted
        assert error is None
        assert (call.service, call.operation, call.principal, call.key_id) == ("ecr", "DescribeRepositories", ANN, KEY)
        assert (call.region, call.source_ip, call.secure) == ("us-east-1", "127.0.0.1", False)
        assert call.user_agent.startswith("Boto3/")
        assert call.request_id == got["ResponseMetadata"]["RequestId"]


async def test_both_registries_share_a_port() -> None:
    """ECR.md 3.1: both services can share a port, told apart by the target prefix."""
    async with door() as node:
        got = await node.call("ecr-public", "get_authorization_token")
        assert got["authorizationData"]["authorizationToken"] == "QVdTOg=="
        assert node.noted[0][0].service == "ecr-public"


async def test_raw_answers_are_strict() -> None:
    """ECR.md 3.1, "Response", and 5, items 1 and 6: numbers for times, nothing null."""
    async with door() as node:
        for body in (b"{}", b""):
            status, headers, answer = await node.post(f"{TARGET}DescribeRepositories", body)
            assert (status, headers["Content-Type"]) == (200, CONTENT_TYPE)
            assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", headers["x-amzn-RequestId"])
            assert int(headers["Content-Length"]) == len(answer)
            assert b'"createdAt":1563223656.25' in answer
            assert_answer("ecr", "DescribeRepositories", answer)


async def test_a_modelled_refusal_reaches_the_sdk() -> None:
    """ECR.md 5, item 20: 400 for all modelled errors, `__type` and a lower-case `message`."""
    async with door() as node:
        client = node.client("ecr")
        with pytest.raises(client.exceptions.RepositoryNotFoundException) as raised:
            await node.sdk(lambda: client.describe_repositories(repositoryNames=["missing"]))
        said = "The repository with name 'missing' does not exist in the registry with id '012345678910'"
        assert error_of(raised.value) == ("RepositoryNotFoundException", said, 400)
        assert isinstance(node.noted[0][1], RepositoryNotFound)
        body = json.dumps({"repositoryNames": ["missing"]}).encode()
        status, headers, answer = await node.post(f"{TARGET}DescribeRepositories", body)
        assert (status, headers["x-amzn-ErrorType"]) == (400, "RepositoryNotFoundException")
        assert json.loads(answer) == {"__type": "RepositoryNotFoundException", "message": said}
        assert_modelled("ecr", "DescribeRepositories", json.loads(answer)["__type"])


async def test_what_an_sdk_does_not_check_the_server_does() -> None:
    """ECR.md 3.1: SDKs do not check patterns, enums and maxima."""
    async with door() as node:
        with pytest.raises(ClientError) as raised:
            await node.call("ecr", "describe_repositories", maxResults=1001)
        said = "Member must have value less than or equal to 1000"
        assert error_of(raised.value)[:2] == (
            "InvalidParameterException",
            f"Invalid parameter at 'maxResults' failed to satisfy constraint: '{said}'",
        )
        assert [call.input for call, _ in node.noted] == [{}]


async def test_a_layer_part_of_the_largest_size_is_taken() -> None:
    """ECR.md 1.3, "Layer upload": 20,971,520 bytes after decoding."""
    part = b"\xff" * PART_BYTES_MAX
    upload = "11111111-2222-3333-4444-555555555555"
    async with door() as node:
        arguments = {"repositoryName": "app", "uploadId": upload, "partFirstByte": 0, "partLastByte": len(part) - 1}
        got = await node.call("ecr", "upload_layer_part", layerPartBlob=part, **arguments)
        assert got["lastByteReceived"] == len(part) - 1


async def test_an_invalid_layer_part_has_its_members_at_the_top() -> None:
    """ECR.md 3.1, "Error": extra modelled members go at top level."""
    upload = "11111111-2222-3333-4444-555555555555"
    async with door() as node:
        client = node.client("ecr")
        arguments = {"repositoryName": "app", "uploadId": upload, "partFirstByte": 9, "partLastByte": 9}
        with pytest.raises(client.exceptions.InvalidLayerPartException) as raised:
            await node.sdk(lambda: client.upload_layer_part(layerPartBlob=b"x", **arguments))
        assert raised.value.response["lastValidByteReceived"] == 7
        assert "registryId" not in raised.value.response


@pytest.mark.parametrize(
    ("body", "type_"),
    [
        (b"{", "SerializationException"),
        (b"[]", "SerializationException"),
        (b'"text"', "SerializationException"),
        (b"null", "SerializationException"),
        (b'{"maxResults": NaN}', "SerializationException"),
        (b'{"maxResults": "5"}', "SerializationException"),
        (b"\xff\xfe{}", "SerializationException"),
        (b"[" * 100_000, "SerializationException"),
        (b'{"nextToken": "' + b"x" * 1024 * 1024 + b'"}', "RequestEntityTooLargeException"),
    ],
)
async def test_a_body_that_is_no_input_is_refused(body: bytes, type_: str) -> None:
    """ECR.md 3.1; RELIABILITY A2 and A47."""
    async with door() as node:
        status, _, answer = await node.post(f"{TARGET}DescribeRepositories", body)
        assert (status, json.loads(answer)["__type"]) == (413 if "Large" in type_ else 400, type_)


async def test_a_body_without_a_declared_size_ends_at_the_limit() -> None:
    """RELIABILITY A2: a chunked body without an end."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65536

    async with door() as node:
        named = {"X-Amz-Target": f"{TARGET}DescribeRepositories"}
        headers = signed("POST", node.url, b"", "ecr", "us-east-1", KEY, SECRET, headers=named)
        async with node.session.post(node.url, data=endless(), headers=headers) as got:
            assert got.status == 413


async def test_a_coded_body_is_refused() -> None:
    """RELIABILITY A3: never decoded."""
    async with door() as node:
        coded = {"Content-Encoding": "gzip"}
        status, _, answer = await node.post(f"{TARGET}DescribeRepositories", b"{}", headers=coded)
        assert (status, json.loads(answer)["__type"]) == (400, "InvalidParameterException")


@pytest.mark.parametrize("target", ["", "DescribeRepositories", f"{TARGET}Nothing", "Other.DescribeRepositories"])
async def test_an_unknown_target_is_an_unknown_operation(target: str) -> None:
    """ECR.md 3.1: 404, with a body of the type alone."""
    async with door() as node:
        status, headers, answer = await node.send("POST", "/", b"{}", {"X-Amz-Target": target})
        assert (status, answer) == (404, b'{"__type":"UnknownOperationException"}')
        assert "x-amzn-RequestId" in headers


async def test_an_operation_without_a_handler_is_not_supported() -> None:
    """ECR API reference, UnsupportedCommandException: what this registry does not do, said plainly."""
    async with door() as node:
        with pytest.raises(ClientError) as raised:
            await node.call("ecr", "describe_registry")
        said = "The operation DescribeRegistry is not supported by this registry"
        assert error_of(raised.value) == ("UnsupportedCommandException", said, 400)


async def test_a_fault_of_ours_is_told_to_the_log_alone(events: list[Any]) -> None:
    """RELIABILITY A35: ServerException, 500, and nothing of what went wrong."""
    async with door() as node:
        status, _, answer = await node.post(f"{TARGET}GetRegistryPolicy", b"{}")
        assert (status, json.loads(answer)["__type"]) == (500, "ServerException")
        assert b"secret" not in answer
        assert [event["event"] for event in events if event["log_level"] == "error"] == ["call failed"]
        assert node.noted[0][1] is not None


async def test_keys_that_are_unknown_or_wrong_are_refused() -> None:
    """ECR.md 3.1, "Error": 403 for who asks; and nobody's failure is somebody's in the audit."""
    async with door() as node:
        for change, code in (
            ({"aws_access_key_id": "AKIDOTHER"}, "UnrecognizedClientException"),
            ({"aws_secret_access_key": "other"}, "InvalidSignatureException"),
        ):
            with pytest.raises(ClientError) as raised:
                await node.sdk(lambda change=change: node.client("ecr", **change).describe_repositories())
            assert (error_of(raised.value)[0], error_of(raised.value)[2]) == (code, 403)
        status, _, answer = await node.send("POST", "/", b"{}", {"X-Amz-Target": f"{TARGET}DescribeRepositories"})
        assert (status, json.loads(answer)["__type"]) == (403, "MissingAuthenticationTokenException")
        assert node.noted == []


@pytest.mark.parametrize(
    ("service", "region", "said"),
    [("ecr-public", "us-east-1", "correct service: 'ecr'"), ("ecr", "us-west-2", "a valid region")],
)
async def test_a_scope_of_elsewhere_is_refused(service: str, region: str, said: str) -> None:
    """ECR.md 3.1: the scope's service is the API's, its region one of the node's."""
    async with door() as node:
        named = {"X-Amz-Target": f"{TARGET}DescribeRepositories"}
        headers = signed("POST", node.url, b"{}", service, region, KEY, SECRET, headers=named)
        status, _, answer = await node.send("POST", "/", b"{}", headers)
        assert (status, json.loads(answer)["__type"]) == (403, "InvalidSignatureException")
        assert said in json.loads(answer)["message"]


async def test_an_old_signature_is_refused() -> None:
    """ECR.md 3.1: five minutes."""
    async with door() as node:
        named = {"X-Amz-Target": f"{TARGET}DescribeRepositories"}
        at = time.time() - 400
        headers = signed("POST", node.url, b"{}", "ecr", "us-east-1", KEY, SECRET, headers=named, at=at)
        status, _, answer = await node.send("POST", "/", b"{}", headers)
        assert status == 403
        assert json.loads(answer)["message"].startswith("Signature expired: ")


async def test_who_may_not_is_told_so_and_noted() -> None:
    """ECR.md 3.1: AccessDeniedException is 400 in JSON."""
    upload = "11111111-2222-3333-4444-555555555555"
    async with door() as node:
        arguments = {"repositoryName": "closed", "uploadId": upload, "partFirstByte": 0, "partLastByte": 0}
        with pytest.raises(ClientError) as raised:
            await node.call("ecr", "upload_layer_part", layerPartBlob=b"x", **arguments)
        said = f"User: arn:aws:iam::{ACCOUNT}:user/ann is not authorized to perform: UploadLayerPart"
        assert error_of(raised.value) == ("AccessDeniedException", said, 400)
        assert [type(error) for _, error in node.noted] == [AccessDenied]


async def test_a_trusted_caller_needs_no_signature() -> None:
    """The node's own socket: who may open it is its owner."""
    async with door() as node:
        node.trusted.append(root_of(ACCOUNT))
        status, _, _ = await node.send("POST", "/", b"{}", {"X-Amz-Target": f"{TARGET}DescribeRepositories"})
        assert status == 200
        form = b"Action=GetCallerIdentity&Version=2011-06-15"
        status, _, answer = await node.send("POST", "/", form, {"Content-Type": "application/x-www-form-urlencoded"})
        assert (status, b":root</Arn>" in answer) == (200, True)
        assert [(call.principal.kind, call.region, call.key_id) for call, _ in node.noted] == [
            ("root", "us-east-1", "")
        ] * 2


async def test_only_so_many_large_bodies_are_taken_at_once() -> None:
    """RELIABILITY A2: a body is in memory before its signature can be proved."""
    one = Bodies(SlowClock(), large_at_once_max=1, place_s_max=0.05)
    begun = asyncio.Event()
    finish = asyncio.Event()

    async def held() -> AsyncIterator[bytes]:
        yield b"{"
        begun.set()
        await finish.wait()
        yield b"}"

    async with door(one) as node, asyncio.TaskGroup() as group:
        named = {"X-Amz-Target": f"{TARGET}UploadLayerPart"}
        headers = signed("POST", node.url, b"{}", "ecr", "us-east-1", KEY, SECRET, headers=named)

        async def first() -> bytes:
            async with node.session.post(node.url, data=held(), headers=headers) as got:
                return await got.read()

        task = group.create_task(first())
        await begun.wait()
        body = b" " * (LARGE_BYTES + 1)
        status, _, answer = await node.post(f"{TARGET}UploadLayerPart", body)
        assert (status, json.loads(answer)) == (400, {"__type": "ThrottlingException", "message": "Rate exceeded"})
        finish.set()
        assert b"InvalidParameterException" in await task  # it was proved and read: only its members are missing


async def test_an_sdk_asks_sts_who_it_is() -> None:
    """STS API reference, GetCallerIdentity: XML, in any region."""
    async with door() as node:
        got = await node.call("sts", "get_caller_identity")
        assert (got["Account"], got["Arn"], got["UserId"]) == (ACCOUNT, ANN.arn, "AIDAANN")
        assert got["ResponseMetadata"]["RequestId"] == node.noted[0][0].request_id


async def test_an_sdk_makes_a_user() -> None:
    """IAM API reference, CreateUser: lists in the form, times as ISO 8601 in the answer."""
    async with door() as node:
        tags = [{"Key": f"k{number}", "Value": f"{number} + é"} for number in range(12)]
        got = await node.call("iam", "create_user", UserName="bob", Path="/ops/", Tags=tags)
        assert (got["User"]["UserName"], got["User"]["Path"], got["User"]["Tags"]) == ("bob", "/ops/", tags)
        assert got["User"]["CreateDate"].isoformat() == "2019-07-15T20:47:36+00:00"


async def test_a_policy_document_comes_back_as_it_was() -> None:
    """IAM API reference: policies are URL-encoded in answers; what XML cannot hold does not break it."""
    async with door() as node:
        got = await node.call("iam", "get_user_policy", UserName="bob", PolicyName="p")
        assert got["PolicyDocument"] == json.loads(POLICY)
        assert got["PolicyName"] == "<&>\r\ufffdé"


async def test_iam_refuses_in_xml_with_its_own_codes() -> None:
    """IAM API reference, "Common Errors": other names than those of the JSON APIs."""
    async with door() as node:
        for user, code, status in (("root", "AccessDenied", 403), ("a b", "ValidationError", 400)):
            with pytest.raises(ClientError) as raised:
                await node.call("iam", "create_user", UserName=user)
            assert (error_of(raised.value)[0], error_of(raised.value)[2]) == (code, status)
            assert raised.value.response["Error"]["Type"] == "Sender"
        for change, code in (
            ({"aws_access_key_id": "AKIDOTHER"}, "InvalidClientTokenId"),
            ({"aws_secret_access_key": "other"}, "SignatureDoesNotMatch"),
        ):
            with pytest.raises(ClientError) as raised:
                await node.sdk(lambda change=change: node.client("iam", **change).create_user(UserName="bob"))
            assert (error_of(raised.value)[0], error_of(raised.value)[2]) == (code, 403)


@pytest.mark.parametrize(
    ("form", "service", "code"),
    [
        ("Action=Nothing&Version=2010-05-08", "iam", "InvalidAction"),
        ("Action=CreateUser&Version=2011-06-15", "iam", "InvalidAction"),
        ("Action=CreateUser&Version=2010-05-08", "sts", "InvalidAction"),
        ("", "iam", "InvalidAction"),
        ("Action=ListUsers&Version=2010-05-08", "iam", "UnsupportedOperation"),
        ("Action=CreateUser&Version=2010-05-08&UserName=%FF", "iam", "MalformedInput"),
        ("Action=CreateUser&Version=2010-05-08&UserName=b&Tags.member.x.Key=k", "iam", "MalformedInput"),
        ("Action=CreateUser&Version=2010-05-08&UserName.member.1=b", "iam", "MalformedInput"),
        ("Action=CreateUser&Version=2010-05-08&UserName=b&Tags=b", "iam", "MalformedInput"),
        ("Action=CreateUser&Version=2010-05-08&UserName=b&UserName.x=b", "iam", "MalformedInput"),
        ("Action=CreateUser&Version=2010-05-08" + "&a=b" * 3000, "iam", "MalformedInput"),
        ("Action=CreateUser&Version=2010-05-08", "iam", "ValidationError"),
        ("Action=GetCallerIdentity&Version=2011-06-15", "ecr", "SignatureDoesNotMatch"),
    ],
)
async def test_a_broken_form_is_refused(form: str, service: str, code: str) -> None:
    """smithy.io, "AWS Query protocol"; RELIABILITY A47."""
    async with door() as node:
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        headers = signed("POST", node.url, form.encode(), service, "us-east-1", KEY, SECRET, headers=kind)
        status, answered, answer = await node.send("POST", "/", form.encode(), headers)
        assert f"<Code>{code}</Code>".encode() in answer
        assert status == (403 if code == "SignatureDoesNotMatch" else 400)
        assert answered["Content-Type"] == "text/xml"


async def test_a_presigned_url_tells_who_made_it() -> None:
    """STS, GetCallerIdentity as proof of an identity: whoever has the URL fetches it, and changes nothing in it."""
    async with door() as node:
        url = presigned(f"{node.url}?Action=GetCallerIdentity&Version=2011-06-15", "sts", "us-east-1", KEY, SECRET)
        path = "/" + url.removeprefix(node.url)
        status, _, answer = await node.send("GET", path, b"", {})
        assert (status, f"<Arn>{ANN.arn}</Arn>".encode() in answer) == (200, True)
        for changed in (path.replace("GetCallerIdentity", "GetSessionToken"), path + "&more=1"):
            status, _, answer = await node.send("GET", changed, b"", {})
            assert (status, b"<Code>SignatureDoesNotMatch</Code>" in answer) == (403, True)
        status, _, _ = await node.send("POST", path, b"Action=GetSessionToken", {})
        assert status == 403
        iam = presigned(f"{node.url}?Action=CreateUser&Version=2010-05-08&UserName=b", "iam", "us-east-1", KEY, SECRET)
        status, _, answer = await node.send("GET", "/" + iam.removeprefix(node.url), b"", {})
        assert (status, b"correct service: 'sts'" in answer) == (403, True)


def test_the_strict_reader_finds_what_boto_forgives() -> None:
    """ECR.md 5, items 1 and 6: the aid itself."""
    for answer in (
        {"repositories": None},
        {"repositories": [{"createdAt": "2019-07-15T20:47:36Z"}]},
        {"repositories": [{"later": 1}]},
        {"repositories": [{"imageTagMutability": "FROZEN"}]},
        {"repositories": [], "nextToken": ""},
    ):
        with pytest.raises(AssertionError):
            assert_answer("ecr", "DescribeRepositories", json.dumps(answer).encode())
    with pytest.raises(AssertionError, match="lacks required"):
        assert_answer("ecr-public", "DescribeRegistries", b"{}")
    with pytest.raises(AssertionError, match="does not model"):
        assert_modelled("ecr", "DescribeRepositories", "ImageNotFoundException")
