"""The witness of the AWS APIs: which calls the audit hears of, and what of them."""

from typing import Any

import pytest

from mirror.aws.errors import AccessDenied
from mirror.aws.principals import Principal
from mirror.oci.errors import RegistryError
from mirror.registry.audit import Audit
from mirror.web.aws.call import Call
from mirror.web.call_witness import CallWitness

ANN = Principal("user", "123456789012", "ann", id="AIDAANN")
ARN = "arn:aws:ecr:us-east-1:123456789012:repository/app"


def saw(service: Any, operation: str, error: RegistryError | None = None, **given: Any) -> None:
    call = Call(service, operation, ANN, given, "id-1", "192.0.2.7", "aws-cli/2", True, "us-east-1", "AKIAANN")
    CallWitness(Audit("us-east-1"), lambda _: [ARN, "*"])(call, error)


@pytest.mark.parametrize(
    ("service", "operation", "error", "is_recorded"),
    [
        ("ecr", "PutImage", None, True),
        ("ecr", "DescribeImages", None, False),
        ("ecr", "DescribeImages", AccessDenied("no"), True),
        ("ecr-public", "CreateRepository", None, True),
        ("iam", "GetLoginProfile", None, False),
        ("iam", "CreateAccessKey", None, True),
        ("sts", "AssumeRole", None, True),
        ("sts", "GetCallerIdentity", None, False),
    ],
)
def test_changes_and_refusals_are_recorded(
    events: list[Any], service: str, operation: str, error: RegistryError | None, is_recorded: bool
) -> None:
    """ECR.md 6.2; reading alone is the access log's."""
    saw(service, operation, error, repositoryName="app")
    assert [event["record"]["eventName"] for event in events] == [operation] * is_recorded


def test_a_call_is_recorded_with_all_that_is_known_of_it(events: list[Any]) -> None:
    """ECR.md 6.2: a foreign registryId is the recipient; `*` is no resource."""
    saw("ecr", "DeleteRepository", registryId="999999999999", repositoryName="app", force=True)
    (event,) = events
    record = event["record"]
    assert record["recipientAccountId"] == "999999999999"
    assert record["resources"] == [{"ARN": ARN, "accountId": "123456789012"}]
    assert record["requestParameters"] == {"registryId": "999999999999", "repositoryName": "app", "force": True}
    assert record["userIdentity"]["accessKeyId"] == "AKIAANN"
    assert (record["requestID"], record["sourceIPAddress"], record["userAgent"]) == ("id-1", "192.0.2.7", "aws-cli/2")


def test_a_call_that_was_not_understood_is_about_nothing(events: list[Any]) -> None:
    """Its input did not pass the model: what it would have been about is not asked."""
    saw("ecr", "PutImage", AccessDenied("no"))
    assert events[0]["record"]["resources"] == []
