"""Which rights a call needs: the resource of every operation, its conditions, and no word about what is there."""

from typing import Any

import pytest
from accounts import allow, deny, policy
from control_calls import REGION, ControlCalls
from ecr_calls import MODELS
from registries import HOME

from mirror.aws.errors import AccessDenied
from mirror.aws.principals import ANONYMOUS, Principal, root_of
from mirror.rules.access.actions import WITHOUT_RESOURCE
from mirror.rules.identities import user_principal
from mirror.web.aws.call import Call, Service

A = HOME.account
OTHER = "222222222222"
APP = f"arn:aws:ecr:{REGION}:{A}:repository/app"
SERVICES: tuple[Service, ...] = ("ecr", "ecr-public")
# What stands in for any input: the authorizer reads these members only.
GIVEN: dict[str, Any] = {
    "repositoryName": "app",
    "repositoryNames": ["app", "b"],
    "resourceArn": APP,
    "name": "BLOB_MOUNTING",
    "tags": [{"Key": "team", "Value": "a"}],
    "tagKeys": ["team"],
}


async def user(ecr: ControlCalls, *statements: Any, account: str = A, name: str = "me") -> Principal:
    """Make a user with a policy of its own."""
    holders = ecr.house.known.identities.holders
    made = await holders.create_user(account, name, 1.0, "/")
    if statements:
        await holders.put_inline(account, "user", name, "own", policy(*statements))
    return user_principal(account, made)


def of(service: Service, operation: str, principal: Principal, **given: Any) -> Call:
    return Call(service, operation, principal, given, "request", "192.0.2.1", "tests", False, REGION)


def of_model(service: Service, operation: str) -> Call:
    """Make a call with what of GIVEN the operation has."""
    model = MODELS.find(service, operation)
    assert model is not None
    members = model.model.input_shape.members
    given = {name: value for name, value in GIVEN.items() if name in members}
    return of(service, operation, root_of(A), **given)


@pytest.mark.parametrize("service", SERVICES)
async def test_every_operation_is_about_something(ecr: ControlCalls, service: Service) -> None:
    """ECR.md 2.1: a repository's ARN, or `*` where there is no control by resource."""
    start = f"arn:aws:ecr:{REGION}:{A}" if service == "ecr" else f"arn:aws:ecr-public::{A}"
    for name in MODELS.names(service):
        call = of_model(service, name)
        demands = list(ecr.authorizer.demands(call))
        called = {"ListImageReferrers": "BatchGetImage"}.get(name, name)
        assert demands[0].action == f"{service}:{called}"
        arns = ecr.authorizer.resources(call)
        if f"{service}:{name}" in WITHOUT_RESOURCE:
            assert arns == ["*"], name
        elif "resourceArn" in call.input:
            assert arns == [f"{start}:repository/app"], name
        elif "repositoryNames" in call.input:
            assert arns == [f"{start}:repository/app", f"{start}:repository/b"], name
        elif "repositoryName" in call.input:
            assert arns == [f"{start}:repository/app"], name
        else:
            assert arns in (["*"], [f"{start}:registry/{A}"]), name


async def test_nobody_may_call_anything_and_root_everything(ecr: ControlCalls) -> None:
    """ECR.md 2.1: the account root has full access; users start with none."""
    nobody = await user(ecr)
    for service in SERVICES:
        for name in MODELS.names(service):
            call = of_model(service, name)
            ecr.authorizer(call)
            for principal in (nobody, ANONYMOUS):
                with pytest.raises(AccessDenied):
                    ecr.authorizer(of(service, name, principal, **call.input))


async def test_a_list_without_names_is_about_all_repositories(ecr: ControlCalls) -> None:
    """ECR.md 2.1: as ECR prints it."""
    me = await user(ecr, allow(None, "ecr:DescribeRepositories", Resource=APP))
    ecr.authorize("DescribeRepositories", me, repositoryNames=["app"])
    with pytest.raises(AccessDenied) as caught:
        ecr.authorize("DescribeRepositories", me)
    assert caught.value.message == (
        f"User: arn:aws:iam::{A}:user/me is not authorized to perform: ecr:DescribeRepositories on resource: "
        f"arn:aws:ecr:{REGION}:{A}:repository/* because no identity-based policy allows the "
        "ecr:DescribeRepositories action"
    )
    with pytest.raises(AccessDenied):
        ecr.authorize("DescribeRepositories", me, repositoryNames=["app", "other"])


async def test_a_refusal_does_not_tell_what_is_there(ecr: ControlCalls) -> None:
    """RELIABILITY A11: a repository that is not there is asked about by its ARN all the same."""
    await ecr.make("there")
    me = await user(ecr)
    said = []
    for name in ("there", "none"):
        with pytest.raises(AccessDenied) as caught:
            ecr.authorize("DeleteRepository", me, repositoryName=name)
        said.append(caught.value.message.replace(name, "X"))
    assert said[0] == said[1]


async def test_a_repositorys_policy_and_tags_count(ecr: ControlCalls) -> None:
    """ECR.md 2.1: identity or resource policy in the own account; conditions on the repository's tags."""
    await ecr.make("app", tags={"team": "a"})
    tagged = {"StringEquals": {"ecr:ResourceTag/team": "a"}}
    by_tag = await user(ecr, allow(None, "ecr:ListImages", Condition=tagged), name="tagged")
    by_policy = await user(ecr, name="named")
    await ecr("SetRepositoryPolicy", repositoryName="app", policyText=policy(allow(by_policy.arn, "ecr:ListImages")))
    for me in (by_tag, by_policy):
        ecr.authorize("ListImages", me, repositoryName="app")
        with pytest.raises(AccessDenied):
            ecr.authorize("ListImages", me, repositoryName="none")


async def test_across_accounts_both_sides_must_allow(ecr: ControlCalls) -> None:
    """ECR.md 2.1, worked example: 1111's policy allows 2222; a registryId names another registry (5, item 12)."""
    await ecr.house.known.identities.accounts.create(OTHER, 1.0)
    allowed = await user(ecr, allow(None, "ecr:*"), account=OTHER, name="allowed")
    bare = await user(ecr, account=OTHER, name="bare")
    await ecr.make("app")
    call = {"registryId": A, "repositoryName": "app"}
    with pytest.raises(AccessDenied, match="because no resource-based policy allows"):
        ecr.authorize("BatchGetImage", allowed, **call, imageIds=[{"imageTag": "v1"}])
    owner = f"arn:aws:iam::{OTHER}:root"
    await ecr("SetRepositoryPolicy", repositoryName="app", policyText=policy(allow(owner, "ecr:BatchGetImage")))
    ecr.authorize("BatchGetImage", allowed, **call, imageIds=[{"imageTag": "v1"}])
    with pytest.raises(AccessDenied):
        ecr.authorize("BatchGetImage", bare, **call, imageIds=[{"imageTag": "v1"}])
    with pytest.raises(AccessDenied):
        ecr.authorize("GetDownloadUrlForLayer", allowed, **call, layerDigest="sha256:" + "0" * 64)
    ecr.authorize("ListTagsForResource", allowed, resourceArn=f"arn:aws:ecr:{REGION}:{OTHER}:repository/app")
    with pytest.raises(AccessDenied):
        ecr.authorize("ListTagsForResource", allowed, resourceArn=APP)


async def test_a_creation_with_tags_needs_the_right_to_tag(ecr: ControlCalls) -> None:
    """ECR guide, "Tagging a private repository": ecr:CreateRepository and ecr:TagResource."""
    me = await user(ecr, allow(None, "ecr:CreateRepository"))
    tags = [{"Key": "team", "Value": "a"}]
    ecr.authorize("CreateRepository", me, repositoryName="app")
    with pytest.raises(AccessDenied, match="ecr:TagResource"):
        ecr.authorize("CreateRepository", me, repositoryName="app", tags=tags)


async def test_conditions_look_at_the_tags_of_a_request(ecr: ControlCalls) -> None:
    """ECR.md 2.1, "Condition keys": aws:RequestTag and aws:TagKeys."""
    await ecr.make("app")
    only = {
        "StringEquals": {"aws:RequestTag/team": "a"},
        "ForAllValues:StringEquals": {"aws:TagKeys": ["team"]},
    }
    removal = {"ForAllValues:StringEquals": {"aws:TagKeys": ["old"]}}
    me = await user(
        ecr,
        allow(None, "ecr:CreateRepository", "ecr:TagResource", Condition=only),
        allow(None, "ecr:UntagResource", Condition=removal),
    )
    good, bad = [{"Key": "team", "Value": "a"}], [{"Key": "team", "Value": "b"}]
    more = [*good, {"Key": "other", "Value": ""}]
    ecr.authorize("CreateRepository", me, repositoryName="app", tags=good)
    ecr.authorize("TagResource", me, resourceArn=APP, tags=good)
    for tags in (bad, more):
        with pytest.raises(AccessDenied):
            ecr.authorize("CreateRepository", me, repositoryName="app", tags=tags)
        with pytest.raises(AccessDenied):
            ecr.authorize("TagResource", me, resourceArn=APP, tags=tags)
    ecr.authorize("UntagResource", me, resourceArn=APP, tagKeys=["old"])
    with pytest.raises(AccessDenied):
        ecr.authorize("UntagResource", me, resourceArn=APP, tagKeys=["old", "team"])


async def test_conditions_look_at_the_setting(ecr: ControlCalls) -> None:
    """ECR.md 2.1: ecr:AccountSetting."""
    condition = {"StringEquals": {"ecr:AccountSetting": "BLOB_MOUNTING"}}
    me = await user(ecr, allow(None, "ecr:PutAccountSetting", "ecr:GetAccountSetting", Condition=condition))
    ecr.authorize("PutAccountSetting", me, name="BLOB_MOUNTING", value="ENABLED")
    ecr.authorize("GetAccountSetting", me, name="BLOB_MOUNTING")
    with pytest.raises(AccessDenied):
        ecr.authorize("PutAccountSetting", me, name="REGISTRY_POLICY_SCOPE", value="V1")


async def test_a_public_token_needs_two_rights(ecr: ControlCalls) -> None:
    """ECR.md 3.4: ecr-public:GetAuthorizationToken and sts:GetServiceBearerToken."""
    half = await user(ecr, allow(None, "ecr-public:GetAuthorizationToken"), name="half")
    whole = allow(None, "ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken")
    me = await user(ecr, whole, name="whole")
    ecr.authorize("GetAuthorizationToken", me, service="ecr-public")
    with pytest.raises(AccessDenied, match="sts:GetServiceBearerToken"):
        ecr.authorize("GetAuthorizationToken", half, service="ecr-public")
    with pytest.raises(AccessDenied):
        ecr.authorize("GetAuthorizationToken", me)


async def test_a_registry_policy_counts_for_all_actions_in_v2(ecr: ControlCalls) -> None:
    """ECR.md 2.2; a Deny anywhere wins (2.1)."""
    await ecr.make("app")
    me = await user(ecr)
    allowing = allow(me.arn, "ecr:ListImages", Resource=f"arn:aws:ecr:{REGION}:{A}:repository/a*")
    await ecr("PutRegistryPolicy", policyText=policy(allowing))
    ecr.authorize("ListImages", me, repositoryName="app")
    with pytest.raises(AccessDenied):
        ecr.authorize("ListImages", me, repositoryName="b-app")
    await ecr("SetRepositoryPolicy", repositoryName="app", policyText=policy(deny("*", "ecr:ListImages")))
    with pytest.raises(AccessDenied, match="with an explicit deny in a resource-based policy"):
        ecr.authorize("ListImages", root_of(A), repositoryName="app")


async def test_iam_is_about_its_own_things_and_sts_decides_for_itself(ecr: ControlCalls) -> None:
    """IAM service authorization; AssumeRole is the trust policy's to decide."""
    me = await user(ecr, allow(None, "iam:CreateAccessKey", Resource=f"arn:aws:iam::{A}:user/me"))
    ecr.authorizer(of("iam", "CreateAccessKey", me, UserName="me"))
    with pytest.raises(AccessDenied, match=f"arn:aws:iam::{A}:user/other"):
        ecr.authorizer(of("iam", "CreateAccessKey", me, UserName="other"))
    ecr.authorizer(of("sts", "GetCallerIdentity", me))
    ecr.authorizer(of("sts", "AssumeRole", me, RoleArn=f"arn:aws:iam::{A}:role/x", RoleSessionName="s"))


async def test_the_audit_is_told_of_nothing_where_a_call_names_nothing(ecr: ControlCalls) -> None:
    """An alias that is no alias is refused by the call itself."""
    call = of("ecr-public", "DescribeRepositories", root_of(A), registryId="!!")
    assert ecr.authorizer.resources(call) == []
