"""STS on the wire: who am I, become a role, a session of my own."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from identity_calls import ACCOUNT, MODELS, NOW, Node

from mirror.aws.errors import IamValidationError
from mirror.aws.principals import Principal
from mirror.rules.identities import StsAccessDenied, user_principal
from mirror.web.aws.sts import SELF_DECIDED

ROLE = f"arn:aws:iam::{ACCOUNT}:role/deploy"


async def new_node(condition: object = None) -> tuple[Node, Principal]:
    node = Node()
    await node("CreateUser", UserName="ci")
    me = user_principal(ACCOUNT, node.identities.holders.user(ACCOUNT, "ci"))
    statement: dict[str, Any] = {"Effect": "Allow", "Principal": {"AWS": me.arn}, "Action": "sts:AssumeRole"}
    if condition is not None:
        statement["Condition"] = condition
    trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    await node("CreateRole", RoleName="deploy", AssumeRolePolicyDocument=trust)
    return node, me


def test_every_operation_of_the_subset_has_a_handler() -> None:
    """Issue: the subset of STS; the dispatcher leaves all of it to the handlers."""
    node = Node()
    assert set(node.sts.handlers()) == SELF_DECIDED
    assert all(MODELS.find(service, name) for service, name in SELF_DECIDED)


async def test_a_caller_learns_who_it_is() -> None:
    """STS: GetCallerIdentity."""
    node, me = await new_node()
    assert await node("GetCallerIdentity") == {
        "UserId": ACCOUNT,
        "Account": ACCOUNT,
        "Arn": f"arn:aws:iam::{ACCOUNT}:root",
    }
    assert await node("GetCallerIdentity", me) == {"UserId": me.id, "Account": ACCOUNT, "Arn": me.arn}


async def test_a_caller_becomes_a_role() -> None:
    """STS: AssumeRole, its credentials and the name of the session."""
    node, me = await new_node()
    got = await node("AssumeRole", me, RoleArn=ROLE, RoleSessionName="night", DurationSeconds=900)
    assert got["Credentials"]["Expiration"] == datetime.fromtimestamp(NOW + 900, UTC)
    assert got["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/night"
    assert got["AssumedRoleUser"]["AssumedRoleId"].endswith(":night")
    key_id, token = got["Credentials"]["AccessKeyId"], got["Credentials"]["SessionToken"]
    principal, secret = node.identities.find_key(key_id, token, NOW)
    assert (principal.arn, secret) == (got["AssumedRoleUser"]["Arn"], got["Credentials"]["SecretAccessKey"])


@pytest.mark.parametrize(
    ("condition", "allowed"),
    [
        ({"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}, True),
        ({"IpAddress": {"aws:SourceIp": "198.51.100.0/24"}}, False),
        ({"Bool": {"aws:SecureTransport": "true"}}, True),
        ({"StringEquals": {"sts:RoleSessionName": "night"}}, True),
        ({"StringEquals": {"sts:RoleSessionName": "${aws:username}"}}, False),
        ({"StringEquals": {"sts:ExternalId": "e"}}, False),
        ({"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, False),
        ({"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, True),
        ({"NumericLessThan": {"aws:EpochTime": "1"}}, False),
    ],
)
async def test_a_trust_policy_sees_the_request(condition: object, allowed: bool) -> None:
    """IAM guide, "Global condition keys": where from, when, over what."""
    node, me = await new_node(condition)
    if allowed:
        assert await node("AssumeRole", me, RoleArn=ROLE, RoleSessionName="night")
    else:
        with pytest.raises(StsAccessDenied):
            await node("AssumeRole", me, RoleArn=ROLE, RoleSessionName="night")


async def test_a_user_gets_a_session() -> None:
    """STS: GetSessionToken."""
    node, me = await new_node()
    got = (await node("GetSessionToken", me, DurationSeconds=900))["Credentials"]
    assert node.identities.find_key(got["AccessKeyId"], got["SessionToken"], NOW)[0] == me


@pytest.mark.parametrize(
    "given",
    [
        {"Policy": '{"Version":"2012-10-17","Statement":[]}'},
        {"PolicyArns": [{"arn": "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly"}]},
        {"Tags": [{"Key": "a", "Value": "b"}]},
        {"SourceIdentity": "somebody"},
        {"SerialNumber": f"arn:aws:iam::{ACCOUNT}:mfa/x", "TokenCode": "123456"},
    ],
)
async def test_a_weaker_session_than_can_be_kept_is_refused(given: dict[str, Any]) -> None:
    """A session policy that is accepted and not kept would give more than was asked for."""
    node, me = await new_node()
    with pytest.raises(IamValidationError, match="is not supported by this registry"):
        await node("AssumeRole", me, RoleArn=ROLE, RoleSessionName="night", **given)
