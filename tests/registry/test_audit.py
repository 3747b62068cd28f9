"""The audit: CloudTrail's shape, every change, every refusal, and no secret."""

import asyncio
import json
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from registries import HOME

from mirror.aws.errors import AccessDenied, RepositoryNotFound
from mirror.aws.principals import ANONYMOUS, Principal, root_of
from mirror.oci.errors import RegistryError
from mirror.oci.names import Registry
from mirror.registry.audit import HIDDEN, Audit, AuditFile

ACCOUNT = "123456789012"
ANN = Principal("user", ACCOUNT, "ann", "/team/", id="AIDAANN")
DEPLOYER = Principal("role", ACCOUNT, "deployer", session="ci", id="AROADEP")
ARN = f"arn:aws:ecr:us-west-2:{ACCOUNT}:repository/team/app"
CANARY = "canary-6b1f"


class Trail:
    """An audit and the file that it writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = AuditFile(path)
        self.audit = Audit("us-west-2", self.file)
        self.is_open = True

    def note(self, **more: Any) -> None:
        self.audit.note(
            **{
                "event_name": "PutImage",
                "principal": ANN,
                "registry": Registry(ACCOUNT),
                "source_ip": "192.0.2.1",
                "user_agent": "docker/27.0",
                "request_id": "0c9a",
                "parameters": {"repositoryName": "team/app"},
                "error": None,
                "resources": (ARN,),
                "read_only": False,
                "service": "ecr",
                **more,
            }
        )

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            self.file.close()

    def records(self) -> list[dict[str, Any]]:
        """End the audit and read what it wrote."""
        self.close()
        return [json.loads(line) for line in self.path.read_text().splitlines()]


@pytest.fixture
def trail(tmp_path: Path, events: list[Any]) -> Iterator[Trail]:
    trail = Trail(tmp_path / "audit.log")
    yield trail
    trail.close()


def test_a_record_has_the_shape_of_cloudtrail(trail: Trail, events: list[Any]) -> None:
    """ECR.md 6.2."""
    trail.note(access_key_id="AKIAEXAMPLE")
    (record,) = trail.records()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", record.pop("eventTime"))
    assert re.fullmatch(r"[0-9a-f-]{36}", record.pop("eventID"))
    assert record == {
        "eventVersion": "1.08",
        "userIdentity": {
            "type": "IAMUser",
            "principalId": "AIDAANN",
            "arn": f"arn:aws:iam::{ACCOUNT}:user/team/ann",
            "accountId": ACCOUNT,
            "accessKeyId": "AKIAEXAMPLE",
            "userName": "ann",
        },
        "eventSource": "ecr.amazonaws.com",
        "eventName": "PutImage",
        "awsRegion": "us-west-2",
        "sourceIPAddress": "192.0.2.1",
        "userAgent": "docker/27.0",
        "requestParameters": {"repositoryName": "team/app"},
        "responseElements": None,
        "requestID": "0c9a",
        "readOnly": False,
        "resources": [{"ARN": ARN, "accountId": ACCOUNT}],
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": ACCOUNT,
        "eventCategory": "Management",
    }
    (logged,) = events
    assert (logged["event"], logged["record"]["eventName"]) == ("audit", "PutImage")


@pytest.mark.parametrize(
    ("principal", "identity"),
    [
        (
            root_of(ACCOUNT),
            {"type": "Root", "principalId": ACCOUNT, "arn": f"arn:aws:iam::{ACCOUNT}:root", "accountId": ACCOUNT},
        ),
        (
            DEPLOYER,
            {
                "type": "AssumedRole",
                "principalId": "AROADEP:ci",
                "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/deployer/ci",
                "accountId": ACCOUNT,
                "sessionContext": {
                    "sessionIssuer": {
                        "type": "Role",
                        "principalId": "AROADEP",
                        "arn": f"arn:aws:iam::{ACCOUNT}:role/deployer",
                        "accountId": ACCOUNT,
                        "userName": "deployer",
                    }
                },
            },
        ),
        (ANONYMOUS, {"type": "AWSAccount", "principalId": "", "accountId": "ANONYMOUS_PRINCIPAL"}),
    ],
)
def test_who_called_is_said_as_cloudtrail_says_it(trail: Trail, principal: Principal, identity: Any) -> None:
    """CloudTrail guide, userIdentity element."""
    trail.note(principal=principal)
    (record,) = trail.records()
    assert record["userIdentity"] == identity


@pytest.mark.parametrize(
    ("read_only", "error", "is_recorded"),
    [
        (True, None, False),
        (True, AccessDenied("User: anonymous is not authorized"), True),
        (False, None, True),
        (False, RepositoryNotFound("team/app", HOME), True),
    ],
)
def test_every_change_and_every_refusal_is_recorded_and_nothing_else(
    trail: Trail, read_only: bool, error: RegistryError | None, is_recorded: bool
) -> None:
    """ECR.md 6.2; reads alone would be the access log again."""
    trail.note(read_only=read_only, error=error)
    assert len(trail.records()) == is_recorded


def test_a_refusal_says_what_and_why(trail: Trail) -> None:
    """ECR.md 6.2; CloudTrail guide: errorCode, errorMessage."""
    trail.note(error=RepositoryNotFound("team/app", Registry(ACCOUNT)), registry=None)
    (record,) = trail.records()
    assert record["errorCode"] == "RepositoryNotFoundException"
    assert "team/app" in record["errorMessage"]
    assert record["recipientAccountId"] == ACCOUNT


SECRETS: Mapping[str, Any] = {
    "layerPartBlob": CANARY.encode(),
    "logoImageBlob": bytearray(CANARY.encode()),
    "Password": CANARY,
    "OldPassword": CANARY,
    "SecretAccessKey": CANARY,
    "SessionToken": CANARY,
    "authorizationToken": CANARY,
    "WebIdentityToken": [CANARY],
    "password": {"deep": CANARY},
    "credentials": {"deep": CANARY},
    "list": [{"secretString": CANARY}, CANARY.encode()],
    "imageManifest": '{"annotations": {"x": "' + CANARY + '"}}',
}


@pytest.mark.parametrize("name", SECRETS)
def test_no_secret_of_a_call_is_in_any_line(trail: Trail, events: list[Any], name: str) -> None:
    """RELIABILITY G18: canary secrets through every door; none in the log, none in the audit."""
    trail.note(parameters={name: SECRETS[name], "deeper": {"and": [{name: SECRETS[name]}]}, "repositoryName": "kept"})
    (record,) = trail.records()
    assert record["requestParameters"]["repositoryName"] == "kept"
    assert CANARY not in trail.path.read_text()
    assert CANARY not in str(events)


def test_of_a_manifest_its_digest_is_kept(trail: Trail) -> None:
    """What was pushed can be told by its name."""
    trail.note(parameters={"imageManifest": "{}", "imageTag": "v1", "nextToken": "page", "imageDigest": None})
    (record,) = trail.records()
    assert record["requestParameters"] == {
        "imageManifest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        "imageTag": "v1",
        "nextToken": "page",
    }


def test_what_is_endless_has_an_end(trail: Trail) -> None:
    """RELIABILITY A35: one call cannot fill the disk with one line."""
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"below": deep}
    trail.note(parameters={"deep": deep, "text": "x" * 1_000_000, "many": ["y"] * 100_000})
    (record,) = trail.records()
    assert HIDDEN in json.dumps(record["requestParameters"]["deep"])
    assert len(json.dumps(record)) < 100_000


@given(agent=st.text(), key=st.text(), value=st.text())
def test_whatever_a_client_sends_is_one_printable_line(
    agent: str, key: str, value: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """RELIABILITY A35: no forged line, no order to a terminal."""
    trail = Trail(tmp_path_factory.mktemp("audit") / "audit.log")
    trail.note(user_agent=agent, parameters={key: value}, error=RegistryError(value))
    trail.close()
    written = trail.path.read_bytes()
    assert re.fullmatch(rb"[ -~]+\n", written)
    assert json.loads(written)["userAgent"] == agent


def test_the_file_is_its_owners_alone_and_is_appended_to(tmp_path: Path) -> None:
    """RELIABILITY A24: who did what is nobody else's business; a restart loses nothing."""
    for _ in range(2):
        trail = Trail(tmp_path / "audit.log")
        trail.note()
        trail.close()
    assert stat.S_IMODE(trail.path.stat().st_mode) == 0o600
    assert len(trail.records()) == 2


async def test_a_rotated_file_is_left_and_a_new_one_begun(tmp_path: Path) -> None:
    """logrotate: rename, SIGHUP."""
    trail = await asyncio.to_thread(Trail, tmp_path / "audit.log")
    trail.note(request_id="before")
    old = await asyncio.to_thread(trail.path.rename, tmp_path / "audit.log.1")
    await trail.audit.reopen()
    trail.note(request_id="after")
    await asyncio.to_thread(trail.close)
    written = [json.loads(line)["requestID"] for path in (old, trail.path) for line in path.read_text().splitlines()]
    assert written == ["before", "after"]
    assert json.loads(trail.path.read_text().splitlines()[-1])["requestID"] == "after"


async def test_a_file_that_cannot_be_opened_again_is_kept(tmp_path: Path, events: list[Any]) -> None:
    directory = tmp_path / "log"
    directory.mkdir()
    trail = await asyncio.to_thread(Trail, directory / "audit.log")
    await asyncio.to_thread(directory.rename, tmp_path / "away")
    await trail.audit.reopen()
    trail.note()
    await asyncio.to_thread(trail.close)
    assert [event["event"] for event in events] == ["audit file not reopened", "audit"]
    assert len((tmp_path / "away" / "audit.log").read_text().splitlines()) == 1


def test_without_a_file_the_log_has_it(events: list[Any]) -> None:
    """`[log] audit` is empty: the node's log is the record."""
    Audit("us-west-2").note(
        event_name="DeleteRepository",
        principal=ANN,
        registry=None,
        source_ip="",
        user_agent="",
        request_id="r",
        parameters={},
        error=None,
        read_only=False,
    )
    assert events[0]["record"]["requestParameters"] is None
