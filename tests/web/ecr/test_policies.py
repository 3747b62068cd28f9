"""Policies of repositories and of registries, and account settings."""

import json

import pytest
from accounts import allow, deny, policy
from control_calls import ControlCalls
from registries import HOME

from mirror.aws.errors import AccessDenied
from mirror.aws.principals import Principal
from mirror.rules.identities import user_principal

A = HOME.account
SET = ("ecr:SetRepositoryPolicy", "ecr:GetRepositoryPolicy")
SENT = (
    '{"Version":"2012-10-17","Statement":[{"Sid":"AllowPull","Effect":"Allow","Principal":"*",'
    '"Action":["ecr:BatchGetImage","ecr:GetDownloadUrlForLayer"]}]}'
)
# ECR.md 2.1, "Echo".
ECHO = """{
  "Version" : "2012-10-17",
  "Statement" : [ {
    "Sid" : "AllowPull",
    "Effect" : "Allow",
    "Principal" : "*",
    "Action" : [ "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer" ]
  } ]
}"""
REPLICATION = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "ReplicationAccessCrossAccount",
                "Effect": "Allow",
                "Principal": {"AWS": "arn:aws:iam::111111111111:root"},
                "Action": ["ecr:CreateRepository", "ecr:ReplicateImage"],
                "Resource": [f"arn:aws:ecr:us-east-1:{A}:repository/prod-*"],
            }
        ],
    }
)


async def user(ecr: ControlCalls, name: str, *statements: object) -> Principal:
    """Make a user with a policy of its own."""
    holders = ecr.house.known.identities.holders
    made = await holders.create_user(A, name, 1.0, "/")
    if statements:
        await holders.put_inline(A, "user", name, "own", policy(*statements))  # type: ignore[arg-type]
    return user_principal(A, made)


async def test_a_policy_is_echoed_in_jacksons_style(ecr: ControlCalls) -> None:
    """ECR.md 2.1, "Echo": by Set, Get and Delete."""
    await ecr.make("app")
    expected = {"registryId": A, "repositoryName": "app", "policyText": ECHO}
    assert await ecr("SetRepositoryPolicy", repositoryName="app", policyText=SENT) == expected
    assert await ecr("GetRepositoryPolicy", repositoryName="app") == expected
    assert await ecr("DeleteRepositoryPolicy", repositoryName="app") == expected
    for operation in ("GetRepositoryPolicy", "DeleteRepositoryPolicy"):
        refusal = await ecr.refused(operation, repositoryName="app")
        assert (refusal.type, refusal.message) == (
            "RepositoryPolicyNotFoundException",
            f"Repository policy does not exist for the repository with name 'app' in the registry with id '{A}'",
        )


@pytest.mark.parametrize("text", ["", "{}", "no JSON", '{"Version":"2012-10-17","Statement":[{"Effect":"Allow"}]}'])
async def test_what_is_no_policy_is_refused(ecr: ControlCalls, text: str) -> None:
    """ECR.md 1.3, "Error texts"."""
    await ecr.make("app")
    start = "Invalid parameter at 'PolicyText' failed to satisfy constraint: "
    refusal = await ecr.refused("SetRepositoryPolicy", repositoryName="app", policyText=text, force=True)
    assert refusal.type == "InvalidParameterException"
    assert refusal.message.startswith(f"{start}'Invalid repository policy provided': "), "the reason is behind it"
    refusal = await ecr.refused("PutRegistryPolicy", policyText=text)
    assert refusal.message.startswith(f"{start}'Invalid registry policy provided': ")
    assert (await ecr.refused("GetRepositoryPolicy", repositoryName="app")).type == "RepositoryPolicyNotFoundException"


async def test_nobody_locks_themselves_out_unless_by_force(ecr: ControlCalls) -> None:
    """ECR.md 2.1: `force` is needed when the caller could not call SetRepositoryPolicy again."""
    await ecr.make("app")
    me = await user(ecr, "me", allow(None, *SET))
    locking = policy(deny(me.arn, "ecr:SetRepositoryPolicy"))
    refusal = await ecr.refused("SetRepositoryPolicy", principal=me, repositoryName="app", policyText=locking)
    assert refusal.type == "InvalidParameterException"
    await ecr("SetRepositoryPolicy", principal=me, repositoryName="app", policyText=SENT)
    await ecr("SetRepositoryPolicy", principal=me, repositoryName="app", policyText=locking, force=True)
    with pytest.raises(AccessDenied):
        ecr.authorize("SetRepositoryPolicy", me, repositoryName="app", policyText=SENT)


async def test_a_right_that_the_old_policy_gave_may_be_the_one_that_is_lost(ecr: ControlCalls) -> None:
    """ECR.md 2.1: the new policy is what is judged, with all that stands around it."""
    await ecr.make("app")
    me = await user(ecr, "me")
    await ecr("SetRepositoryPolicy", repositoryName="app", policyText=policy(allow(me.arn, *SET)))
    ecr.authorize("SetRepositoryPolicy", me, repositoryName="app", policyText=SENT)
    call = {"principal": me, "repositoryName": "app", "policyText": SENT}
    assert (await ecr.refused("SetRepositoryPolicy", **call)).type == "InvalidParameterException"
    resource = {"Resource": "*"}
    await ecr("PutRegistryPolicy", policyText=policy(allow(me.arn, *SET, **resource)))
    await ecr("SetRepositoryPolicy", **call)


async def test_a_condition_of_the_new_policy_is_asked_of_this_request(ecr: ControlCalls) -> None:
    """ECR.md 2.1, "Condition keys": the tests' calls come from 192.0.2.1."""
    await ecr.make("app", tags={"team": "a"})
    me = await user(ecr, "me", allow(None, *SET))

    def elsewhere(network: str) -> str:
        return policy(deny("*", SET[0], Condition={"NotIpAddress": {"aws:SourceIp": network}}))

    def other_team(team: str) -> str:
        return policy(deny("*", SET[0], Condition={"StringNotEquals": {"aws:ResourceTag/team": team}}))

    for locking in (elsewhere("198.51.100.0/24"), other_team("b")):
        call = {"principal": me, "repositoryName": "app", "policyText": locking}
        assert (await ecr.refused("SetRepositoryPolicy", **call)).type == "InvalidParameterException"
    for harmless in (elsewhere("192.0.2.0/24"), other_team("a")):
        await ecr("SetRepositoryPolicy", principal=me, repositoryName="app", policyText=harmless)


async def test_the_root_has_a_way_back(ecr: ControlCalls) -> None:
    """ECR.md 2.1: the account root has full access."""
    await ecr.make("app")
    await ecr("SetRepositoryPolicy", repositoryName="app", policyText=policy(deny("*", "ecr:*")))
    await ecr("SetRepositoryPolicy", repositoryName="app", policyText=SENT)


async def test_a_registry_has_one_policy(ecr: ControlCalls) -> None:
    """ECR.md 2.2."""
    refusal = await ecr.refused("GetRegistryPolicy")
    assert (refusal.type, refusal.message) == (
        "RegistryPolicyNotFoundException",
        f"Registry policy does not exist in the registry with id '{A}'",
    )
    put = await ecr("PutRegistryPolicy", policyText=REPLICATION)
    assert put["registryId"] == A
    assert json.loads(put["policyText"]) == json.loads(REPLICATION)
    assert put["policyText"].startswith('{\n  "Version" : "2012-10-17",\n  "Statement" : [ {\n    "Sid" : ')
    assert await ecr("GetRegistryPolicy") == put
    assert await ecr("DeleteRegistryPolicy") == put
    assert (await ecr.refused("DeleteRegistryPolicy")).type == "RegistryPolicyNotFoundException"


async def test_the_scope_says_which_actions_a_registry_policy_has(ecr: ControlCalls) -> None:
    """ECR.md 2.2: V1 knows three actions, V2 all."""
    every = policy(allow("*", "ecr:BatchGetImage", Resource="*"))
    await ecr("PutRegistryPolicy", policyText=every)
    assert await ecr("PutAccountSetting", name="REGISTRY_POLICY_SCOPE", value="V1") == {
        "name": "REGISTRY_POLICY_SCOPE",
        "value": "V1",
    }
    refusal = await ecr.refused("PutRegistryPolicy", policyText=every)
    assert refusal.message == (
        "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid registry policy provided': "
        "Statement[0].Action[0]: 'ecr:BatchGetImage' is no action of a registry-v1 policy"
    )
    await ecr("PutRegistryPolicy", policyText=REPLICATION)


@pytest.mark.parametrize(
    ("name", "default", "other"),
    [
        ("BASIC_SCAN_TYPE_VERSION", "AWS_NATIVE", "AWS_NATIVE"),
        ("REGISTRY_POLICY_SCOPE", "V2", "V1"),
        ("BLOB_MOUNTING", "ENABLED", "DISABLED"),
    ],
)
async def test_settings_have_values(ecr: ControlCalls, name: str, default: str, other: str) -> None:
    """ECR.md 2.2, "Account settings"."""
    assert await ecr("GetAccountSetting", name=name) == {"name": name, "value": default}
    assert await ecr("PutAccountSetting", name=name, value=other) == {"name": name, "value": other}
    assert await ecr("GetAccountSetting", name=name) == {"name": name, "value": other}
    for value in ("CLAIR", other.lower()):
        assert (await ecr.refused("PutAccountSetting", name=name, value=value)).type == "ValidationException"
    assert ecr.house.push.mounts(HOME) is (other != "DISABLED")


async def test_unknown_settings_are_refused(ecr: ControlCalls) -> None:
    """ECR.md 2.2: unknown name -> ValidationException."""
    assert (await ecr.refused("GetAccountSetting", name="COLOUR")).type == "ValidationException"
    assert (await ecr.refused("PutAccountSetting", name="COLOUR", value="red")).type == "ValidationException"
