"""IAM on the wire: each operation of the subset, in the shapes that SDKs read."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import aiohttp.test_utils
import boto3
import pytest
from aiohttp import web
from botocore.config import Config
from identity_calls import ACCOUNT, MODELS, NOW, Node

from mirror.aws.errors import IamValidationError, NoSuchEntity, UnmodifiableEntity
from mirror.aws.principals import Principal
from mirror.rules.access.actions import KNOWN
from mirror.rules.identities import user_principal
from mirror.web.aws.bodies import Bodies
from mirror.web.aws.claim import Claim
from mirror.web.aws.query import QueryApi
from mirror.web.aws.reception import Found, Reception
from mirror.web.slow import SlowClock

AT = datetime.fromtimestamp(NOW, UTC)
READ_ONLY = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly"
EMPTY = '{"Version": "2012-10-17", "Statement": []}'
TRUST = '{"Statement":{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"sts:AssumeRole"}}'
WANTED = set(
    """
CreateUser GetUser ListUsers DeleteUser CreateAccessKey ListAccessKeys UpdateAccessKey DeleteAccessKey PutUserPolicy
GetUserPolicy ListUserPolicies DeleteUserPolicy AttachUserPolicy DetachUserPolicy ListAttachedUserPolicies CreateRole
GetRole ListRoles DeleteRole UpdateAssumeRolePolicy PutRolePolicy GetRolePolicy ListRolePolicies DeleteRolePolicy
AttachRolePolicy DetachRolePolicy ListAttachedRolePolicies CreatePolicy GetPolicy GetPolicyVersion ListPolicies
DeletePolicy CreateAccountAlias ListAccountAliases DeleteAccountAlias CreateLoginProfile GetLoginProfile
UpdateLoginProfile DeleteLoginProfile
""".split()  # noqa: SIM905 - a list to read
)


@pytest.fixture
def node() -> Node:
    return Node()


def test_every_operation_of_the_subset_has_a_handler(node: Node) -> None:
    """Issue: the subset of IAM; each is an operation of the real model."""
    assert {name for _, name in node.iam.handlers()} == WANTED
    assert all(MODELS.find("iam", name) for name in WANTED)
    assert {f"iam:{name}" for name in WANTED} <= KNOWN, "a right that no policy can give is root's alone"


async def test_a_user_lives_and_dies(node: Node) -> None:
    """IAM: CreateUser, GetUser, ListUsers, DeleteUser."""
    made = (await node("CreateUser", UserName="ci", Path="/team/"))["User"]
    assert made == {
        "Path": "/team/",
        "UserName": "ci",
        "UserId": made["UserId"],
        "Arn": f"arn:aws:iam::{ACCOUNT}:user/team/ci",
        "CreateDate": AT,
    }
    assert made["UserId"].startswith("AIDA")
    assert (await node("GetUser", UserName="ci"))["User"] == made
    assert (await node("ListUsers"))["Users"] == [made]
    assert (await node("ListUsers", PathPrefix="/other/"))["Users"] == []
    assert await node("DeleteUser", UserName="ci") == {}
    with pytest.raises(NoSuchEntity):
        await node("GetUser", UserName="ci")


async def test_a_caller_who_names_nobody_means_itself(node: Node) -> None:
    """IAM: "If you do not specify a user name, IAM determines the user name implicitly"."""
    await node("CreateUser", UserName="ci")
    me = user_principal(ACCOUNT, node.identities.holders.user(ACCOUNT, "ci"))
    assert (await node("GetUser", me))["User"]["UserName"] == "ci"
    key = (await node("CreateAccessKey", me))["AccessKey"]
    assert key["UserName"] == "ci"
    assert node.identities.find_key(key["AccessKeyId"], None, NOW) == (me, key["SecretAccessKey"])
    root = (await node("CreateAccessKey"))["AccessKey"]
    assert node.identities.find_key(root["AccessKeyId"], None, NOW)[0].kind == "root"
    assert (await node("GetUser"))["User"]["Arn"] == f"arn:aws:iam::{ACCOUNT}:root"
    session = Principal("role", ACCOUNT, "deploy", session="s", id="AROAX")
    with pytest.raises(IamValidationError, match="Must specify userName when calling with non-User credentials"):
        await node("CreateAccessKey", session)


async def test_access_keys_are_listed_without_their_secrets(node: Node) -> None:
    """IAM: CreateAccessKey shows the secret, nothing else ever does."""
    await node("CreateUser", UserName="ci")
    key = (await node("CreateAccessKey", UserName="ci"))["AccessKey"]
    assert await node("UpdateAccessKey", UserName="ci", AccessKeyId=key["AccessKeyId"], Status="Inactive") == {}
    (shown,) = (await node("ListAccessKeys", UserName="ci"))["AccessKeyMetadata"]
    assert shown == {"UserName": "ci", "AccessKeyId": key["AccessKeyId"], "Status": "Inactive", "CreateDate": AT}
    assert await node("DeleteAccessKey", UserName="ci", AccessKeyId=key["AccessKeyId"]) == {}
    assert (await node("ListAccessKeys", UserName="ci"))["AccessKeyMetadata"] == []


@pytest.mark.parametrize("kind", ["User", "Role"])
async def test_users_and_roles_hold_policies(node: Node, kind: str) -> None:
    """IAM: Put, Get, List and Delete of inline policies; Attach, Detach and ListAttached of managed ones."""
    await node("CreateUser", UserName="it")
    await node("CreateRole", RoleName="it", AssumeRolePolicyDocument=TRUST)
    it = {f"{kind}Name": "it"}
    assert await node(f"Put{kind}Policy", **it, PolicyName="own", PolicyDocument=EMPTY) == {}
    got = await node(f"Get{kind}Policy", **it, PolicyName="own")
    assert {**got, "PolicyDocument": unquote(got["PolicyDocument"])} == {
        **it,
        "PolicyName": "own",
        "PolicyDocument": EMPTY,
    }
    assert (await node(f"List{kind}Policies", **it))["PolicyNames"] == ["own"]
    assert await node(f"Delete{kind}Policy", **it, PolicyName="own") == {}
    assert await node(f"Attach{kind}Policy", **it, PolicyArn=READ_ONLY) == {}
    attached = {"PolicyName": "AmazonEC2ContainerRegistryReadOnly", "PolicyArn": READ_ONLY}
    assert (await node(f"ListAttached{kind}Policies", **it))["AttachedPolicies"] == [attached]
    assert await node(f"Detach{kind}Policy", **it, PolicyArn=READ_ONLY) == {}
    assert (await node(f"ListAttached{kind}Policies", **it))["AttachedPolicies"] == []


async def test_a_role_lives_and_dies(node: Node) -> None:
    """IAM: CreateRole, GetRole, ListRoles, UpdateAssumeRolePolicy, DeleteRole."""
    role = {"RoleName": "deploy", "AssumeRolePolicyDocument": TRUST, "MaxSessionDuration": 7_200}
    made = (await node("CreateRole", **role, Description="Deploys."))["Role"]
    assert (made["MaxSessionDuration"], made["Description"]) == (7_200, "Deploys.")
    assert json.loads(unquote(made["AssumeRolePolicyDocument"])) == json.loads(TRUST)
    other = TRUST.replace(ACCOUNT, "210987654321")
    assert await node("UpdateAssumeRolePolicy", RoleName="deploy", PolicyDocument=other) == {}
    got = (await node("GetRole", RoleName="deploy"))["Role"]
    assert unquote(got["AssumeRolePolicyDocument"]) == other
    assert (await node("ListRoles"))["Roles"] == [got]
    assert await node("DeleteRole", RoleName="deploy") == {}


async def test_a_managed_policy_lives_and_dies(node: Node) -> None:
    """IAM: CreatePolicy, GetPolicy, GetPolicyVersion, ListPolicies, DeletePolicy."""
    made = (await node("CreatePolicy", PolicyName="pull", PolicyDocument=EMPTY))["Policy"]
    assert (made["DefaultVersionId"], made["AttachmentCount"], made["IsAttachable"]) == ("v1", 0, True)
    await node("CreateUser", UserName="ci")
    await node("AttachUserPolicy", UserName="ci", PolicyArn=made["Arn"])
    assert (await node("GetPolicy", PolicyArn=made["Arn"]))["Policy"]["AttachmentCount"] == 1
    version = (await node("GetPolicyVersion", PolicyArn=made["Arn"], VersionId="v1"))["PolicyVersion"]
    assert (unquote(version["Document"]), version["IsDefaultVersion"]) == (EMPTY, True)
    with pytest.raises(NoSuchEntity):
        await node("GetPolicyVersion", PolicyArn=made["Arn"], VersionId="v2")
    listed = [one["Arn"] for one in (await node("ListPolicies", Scope="Local"))["Policies"]]
    assert listed == [made["Arn"]]
    every = [one["Arn"] for one in (await node("ListPolicies"))["Policies"]]
    assert READ_ONLY in every
    assert [one["Arn"] for one in (await node("ListPolicies", OnlyAttached=True))["Policies"]] == [made["Arn"]]
    await node("DetachUserPolicy", UserName="ci", PolicyArn=made["Arn"])
    assert await node("DeletePolicy", PolicyArn=made["Arn"]) == {}
    with pytest.raises(UnmodifiableEntity):
        await node("DeletePolicy", PolicyArn=READ_ONLY)


async def test_a_login_profile_is_a_password(node: Node) -> None:
    """IAM: CreateLoginProfile, GetLoginProfile, UpdateLoginProfile, DeleteLoginProfile."""
    await node("CreateUser", UserName="ci")
    made = (await node("CreateLoginProfile", UserName="ci", Password="correct horse"))["LoginProfile"]
    assert made == {"UserName": "ci", "CreateDate": AT, "PasswordResetRequired": False}
    assert (await node("GetLoginProfile", UserName="ci"))["LoginProfile"] == made
    assert await node("UpdateLoginProfile", UserName="ci", Password="battery staple") == {}
    assert await node.identities.logins.check(ACCOUNT, "ci", "battery staple")
    assert await node("DeleteLoginProfile", UserName="ci") == {}
    with pytest.raises(NoSuchEntity, match=r"Login Profile for User ci cannot be found\."):
        await node("GetLoginProfile", UserName="ci")


async def test_an_account_has_an_alias(node: Node) -> None:
    """IAM: CreateAccountAlias, ListAccountAliases, DeleteAccountAlias."""
    assert await node("CreateAccountAlias", AccountAlias="acme") == {}
    assert (await node("ListAccountAliases"))["AccountAliases"] == ["acme"]
    assert await node("DeleteAccountAlias", AccountAlias="acme") == {}
    assert (await node("ListAccountAliases"))["AccountAliases"] == []


async def test_long_lists_come_in_pages(node: Node) -> None:
    """IAM: MaxItems, Marker, IsTruncated; every item once, in order."""
    for number in range(7):
        await node("CreateUser", UserName=f"u{number}")
    seen, marker = [], {}
    while True:
        got = await node("ListUsers", MaxItems=3, **marker)
        seen += [user["UserName"] for user in got["Users"]]
        assert len(got["Users"]) <= 3
        if not got["IsTruncated"]:
            break
        marker = {"Marker": got["Marker"]}
    assert seen == [f"u{number}" for number in range(7)]


@pytest.mark.parametrize(
    ("operation", "given"),
    [
        ("CreateUser", {"UserName": "x", "PermissionsBoundary": READ_ONLY}),
        ("CreateUser", {"UserName": "x", "Tags": [{"Key": "a", "Value": "b"}]}),
        ("CreateRole", {"RoleName": "x", "AssumeRolePolicyDocument": TRUST, "PermissionsBoundary": READ_ONLY}),
        ("CreatePolicy", {"PolicyName": "x", "PolicyDocument": EMPTY, "Tags": [{"Key": "a", "Value": "b"}]}),
        ("CreateLoginProfile", {"UserName": "x", "Password": "correct horse", "PasswordResetRequired": True}),
        ("UpdateAccessKey", {"UserName": "x", "AccessKeyId": "AKIAAAAAAAAAAAAAAAAA", "Status": "Expired"}),
    ],
)
async def test_what_would_not_be_kept_is_refused(node: Node, operation: str, given: dict[str, Any]) -> None:
    """A boundary that is accepted and not kept would be a right that nobody meant to give."""
    with pytest.raises(IamValidationError):
        await node(operation, **given)
    assert node.identities.holders.users(ACCOUNT) == []


async def test_a_call_acts_in_the_callers_own_account(node: Node) -> None:
    """RELIABILITY A11: no member of a call names another account."""
    await node("CreateUser", UserName="ci")
    stranger = Principal("root", "210987654321", id="210987654321")
    with pytest.raises(NoSuchEntity):
        await node("GetUser", stranger, UserName="ci")
    with pytest.raises(NoSuchEntity):
        await node("CreateAccessKey", stranger, UserName="ci")
    assert (await node("ListUsers", stranger))["Users"] == []


async def test_each_call_is_about_a_resource(node: Node) -> None:
    """IAM, "Actions, resources, and condition keys for AWS IAM"."""
    await node("CreateUser", UserName="ci", Path="/team/")
    await node("CreateRole", RoleName="deploy", Path="/ops/", AssumeRolePolicyDocument=TRUST)
    iam, me = f"arn:aws:iam::{ACCOUNT}", Principal("user", ACCOUNT, "ci", "/team/", id="X")
    about = {
        f"{iam}:user/team/ci": [
            node.resource("DeleteUser", UserName="ci"),
            node.resource("AttachUserPolicy", UserName="ci", PolicyArn=READ_ONLY),
            node.resource("PutUserPolicy", UserName="ci", PolicyName="p", PolicyDocument=EMPTY),
            node.resource("CreateAccessKey", me),
            node.resource("GetUser", me),
        ],
        f"{iam}:user/new/x": [node.resource("CreateUser", UserName="x", Path="/new/")],
        f"{iam}:role/ops/deploy": [node.resource("DeleteRole", RoleName="deploy")],
        f"{iam}:policy/team/p": [node.resource("CreatePolicy", PolicyName="p", Path="/team/", PolicyDocument=EMPTY)],
        READ_ONLY: [node.resource("GetPolicy", PolicyArn=READ_ONLY)],
        f"{iam}:root": [node.resource("CreateAccessKey")],
        "*": [node.resource("ListUsers"), node.resource("ListPolicies"), node.resource("ListAccountAliases")],
        f"{iam}:role/x": [node.resource("AssumeRole", RoleArn=f"{iam}:role/x", RoleSessionName="work")],
    }
    for arn, named in about.items():
        assert named == [arn] * len(named)


class Keys:
    """The node's own keys, as the door asks for them."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def find(self, claim: Claim) -> Found:
        return Found(*self._node.identities.find_key(claim.key_id, claim.token or None, NOW))


async def test_an_sdk_becomes_a_role(node: Node) -> None:
    """From a first root key to a role's session, by boto3, signatures and all."""
    key, secret = await node.identities.keys.create(ACCOUNT, "", NOW)
    reception = Reception(
        MODELS,
        node.handlers,
        Keys(node),
        lambda call: None,
        lambda call, error: None,
        regions=("us-east-1",),
        bodies=Bodies(SlowClock()),
    )

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return await QueryApi(reception).handle(request)

    async with aiohttp.test_utils.RawTestServer(handle) as server:
        url = str(server.make_url("/"))

        def client(service: str, key_id: str, secret: str, token: str | None = None) -> Any:
            config = Config(retries={"max_attempts": 0}, proxies={})
            given = {"aws_access_key_id": key_id, "aws_secret_access_key": secret, "aws_session_token": token}
            return boto3.client(service, region_name="us-east-1", endpoint_url=url, config=config, **given)

        def walk() -> None:
            iam = client("iam", key.id, secret)
            user = iam.create_user(UserName="ci")["User"]
            trust = TRUST.replace(f'"{ACCOUNT}"', json.dumps(user["Arn"]))
            role = iam.create_role(RoleName="deploy", AssumeRolePolicyDocument=trust)["Role"]
            assert role["AssumeRolePolicyDocument"] == json.loads(trust)
            made = iam.create_access_key(UserName="ci")["AccessKey"]
            sts = client("sts", made["AccessKeyId"], made["SecretAccessKey"])
            assert sts.get_caller_identity()["Arn"] == user["Arn"]
            got = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="night")["Credentials"]
            session = client("sts", got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"])
            arn = session.get_caller_identity()["Arn"]
            assert arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/night"
            with pytest.raises(iam.exceptions.EntityAlreadyExistsException):
                iam.create_user(UserName="ci")
            with pytest.raises(iam.exceptions.DeleteConflictException):
                iam.delete_user(UserName="ci")

        await asyncio.to_thread(walk)
