"""Public repositories: made, described, deleted, tagged, and who may write."""

import json
import re
from typing import Any

import pytest
from ecr_calls import ME
from registries import HOME

from mirror.aws.principals import root_of
from mirror.oci.names import Registry
from mirror.rules.identities import user_principal

PUBLIC = Registry(HOME.account, public=True)
ARN = f"arn:aws:ecr-public::{HOME.account}:repository/app"
POLICY: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "push",
            "Effect": "Allow",
            "Principal": "*",
            "Action": ["ecr-public:PutImage", "ecr-public:DescribeImages"],
        }
    ],
}


async def test_a_repository_is_made_with_five_members_and_the_registry_gets_an_alias(public: Any) -> None:
    """ECR.md 2.10: the default alias is eight lower-case alphanumerics, made with the first repository."""
    assert (await public("DescribeRegistries"))["registries"] == []
    answer = await public("CreateRepository", repositoryName="app")
    repository = answer["repository"]
    assert repository.pop("createdAt") > 1_700_000_000
    host, alias, name = repository.pop("repositoryUri").split("/")
    assert repository == {"repositoryArn": ARN, "registryId": HOME.account, "repositoryName": "app"}
    assert (host, name, answer["catalogData"]) == ("public.localhost", "app", {})
    assert re.fullmatch("[a-z][a-z0-9]{7}", alias)
    second = await public("CreateRepository", repositoryName="team/second")
    assert second["repository"]["repositoryUri"] == f"public.localhost/{alias}/team/second"


async def test_a_name_is_taken_once_and_private_repositories_are_others(public: Any) -> None:
    """ECR.md 1.3, "Error texts"; each account has two registries."""
    await public.ecr.make("app")
    await public("CreateRepository", repositoryName="app")
    refusal = await public.refused("CreateRepository", repositoryName="app")
    assert refusal.type == "RepositoryAlreadyExistsException"
    assert refusal.message == f"The repository with name 'app' already exists in the registry with id '{HOME.account}'"


@pytest.mark.parametrize("name", ["A", "a", "a__b", "a--b", "a//b", "-a", "a" * 206])
async def test_public_names_have_a_grammar_of_their_own(public: Any, name: str) -> None:
    """ECR.md 2.10: 205 characters, and no `__` or `--`; nothing is made, no alias either."""
    assert (await public.refused("CreateRepository", repositoryName=name)).type == "InvalidParameterException"
    assert (await public("DescribeRegistries"))["registries"] == []


async def test_repositories_are_described_by_name_or_in_pages(public: Any) -> None:
    """ECR.md 1.3, "Pagination"."""
    names = [f"app-{number}" for number in range(5)]
    made = [(await public("CreateRepository", repositoryName=name))["repository"] for name in names]
    pages = await public.pages("DescribeRepositories", "repositories", maxResults=2)
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [repository for page in pages for repository in page] == made
    answer = await public("DescribeRepositories", repositoryNames=["app-3", "app-1"])
    assert answer == {"repositories": [made[3], made[1]]}
    refusal = await public.refused("DescribeRepositories", repositoryNames=["app-1", "nope"])
    assert refusal.type == "RepositoryNotFoundException"
    assert (await public.refused("DescribeRepositories", nextToken="eyJ")).type == "InvalidParameterException"


async def test_a_registry_is_called_by_account_or_alias(public: Any) -> None:
    """ECR.md 2.10: `registryId` is an account id or an alias; another one is another registry (5 item 12)."""
    made = (await public("CreateRepository", repositoryName="app"))["repository"]
    alias = made["repositoryUri"].split("/")[1]
    other = root_of("999999999999")
    answer = await public("DescribeRepositories", principal=other, registryId=HOME.account, repositoryNames=["app"])
    assert answer["repositories"] == [made]
    assert (await public("DescribeRepositories", principal=other))["repositories"] == []
    image = await public.push("app", "v1")
    for registry in (HOME.account, alias):
        asked = {"principal": other, "registryId": registry, "repositoryName": "app"}
        answer = await public("BatchCheckLayerAvailability", layerDigests=image.layers, **asked)
        assert answer["layers"][0]["layerAvailability"] == "AVAILABLE"
    asked = {"registryId": alias, "repositoryName": "app"}
    assert len((await public("BatchDeleteImage", imageIds=[{"imageTag": "v1"}], **asked))["imageIds"]) == 1


@pytest.mark.parametrize("registry", ["nobody", "999999999999"])
async def test_an_alias_of_nobody_has_no_repositories(public: Any, registry: str) -> None:
    """ECR.md 2.10: BatchDeleteImage takes an alias, but its model misses repositories only."""
    await public("CreateRepository", repositoryName="app")
    asked = {"repositoryName": "app", "imageIds": [{"imageTag": "v1"}]}
    refusal = await public.refused("BatchDeleteImage", registryId=registry, **asked)
    assert refusal.type == "RepositoryNotFoundException"
    assert refusal.message.endswith(f"'{registry}'")
    assert (await public.refused("BatchDeleteImage", registryId="\0\0", **asked)).type == "InvalidParameterException"


async def test_the_alias_means_the_registry_for_docker_clients_too(public: Any) -> None:
    """ECR.md 2.10: any ACTIVE alias resolves, also after the documents have been read anew."""
    made = (await public("CreateRepository", repositoryName="app"))["repository"]
    alias = made["repositoryUri"].split("/")[1]
    registries = public.ecr.public
    assert registries.find(alias) == registries.find(HOME.account) == PUBLIC
    assert (registries.find("nobody"), registries.alias(PUBLIC)) == (None, alias)
    assert await registries.ensure(PUBLIC) == alias


async def test_a_repository_with_images_is_deleted_by_force_only(public: Any) -> None:
    """ECR.md 1.3: `force` deletes images too; the answer is what was there."""
    made = (await public("CreateRepository", repositoryName="app"))["repository"]
    await public.push("app", "v1")
    refusal = await public.refused("DeleteRepository", repositoryName="app")
    assert refusal.type == "RepositoryNotEmptyException"
    assert refusal.message == (
        f"The repository with name 'app' in registry with id '{HOME.account}' cannot be deleted because it still "
        "contains images"
    )
    assert await public("DeleteRepository", repositoryName="app", force=True) == {"repository": made}
    assert (await public.refused("DeleteRepository", repositoryName="app")).type == "RepositoryNotFoundException"


# Tags.


async def test_tags_are_merged_listed_and_taken_away(public: Any) -> None:
    """ECR.md 1.3, "Tags"; public ARNs have no region."""
    await public("CreateRepository", repositoryName="app", tags=[{"Key": "a", "Value": "1"}])
    assert (
        await public("TagResource", resourceArn=ARN, tags=[{"Key": "b", "Value": "2"}, {"Key": "a", "Value": ""}]) == {}
    )
    listed = await public("ListTagsForResource", resourceArn=ARN)
    assert sorted(listed["tags"], key=str) == [{"Key": "a", "Value": ""}, {"Key": "b", "Value": "2"}]
    assert await public("UntagResource", resourceArn=ARN, tagKeys=["a", "unknown"]) == {}
    assert (await public("ListTagsForResource", resourceArn=ARN))["tags"] == [{"Key": "b", "Value": "2"}]


@pytest.mark.parametrize(
    ("tags", "error"),
    [
        ([{"Key": f"k{number}", "Value": "v"} for number in range(51)], "TooManyTagsException"),
        ([{"Key": "aws:x", "Value": "v"}], "InvalidTagParameterException"),
        ([{"Value": "v"}], "InvalidTagParameterException"),
    ],
)
async def test_bad_tags_make_no_repository(public: Any, tags: list[dict[str, str]], error: str) -> None:
    """ECR.md 1.3, "Tags"."""
    assert (await public.refused("CreateRepository", repositoryName="app", tags=tags)).type == error
    await public("CreateRepository", repositoryName="app")
    assert (await public.refused("TagResource", resourceArn=ARN, tags=tags)).type == error


@pytest.mark.parametrize(
    "arn",
    [
        "app",
        f"arn:aws:ecr:us-east-1:{HOME.account}:repository/app",
        f"arn:aws:ecr-public:us-east-1:{HOME.account}:repository/app",
        f"arn:aws:ecr-public::{HOME.account}:registry/{HOME.account}",
        "arn:aws:ecr-public:::repository/app",
    ],
)
async def test_a_bad_arn_is_refused_in_ecrs_words(public: Any, arn: str) -> None:
    """ECR.md 1.3, "Tags"."""
    await public("CreateRepository", repositoryName="app")
    refusal = await public.refused("ListTagsForResource", resourceArn=arn)
    assert refusal.type == "InvalidParameterException"
    assert refusal.message == "Invalid parameter at 'resourceArn' failed to satisfy constraint: 'Invalid ARN'"


@pytest.mark.parametrize("name", ["nope", "NOPE", "x" * 3_000])
async def test_an_arn_of_nothing_is_a_missing_repository(public: Any, name: str) -> None:
    """ECR.md 1.1, ListTagsForResource: RepoNF; a name is looked up only when it is one."""
    arn = f"arn:aws:ecr-public::{HOME.account}:repository/{name}"[:2_048]
    assert (await public.refused("ListTagsForResource", resourceArn=arn)).type == "RepositoryNotFoundException"


# Policies.


async def test_a_policy_is_echoed_pretty(public: Any) -> None:
    """ECR.md 2.1, "Echo"."""
    await public("CreateRepository", repositoryName="app")
    sent = json.dumps(POLICY, separators=(",", ":"))
    answers = [
        await public("SetRepositoryPolicy", repositoryName="app", policyText=sent),
        await public("GetRepositoryPolicy", repositoryName="app"),
        await public("DeleteRepositoryPolicy", repositoryName="app"),
    ]
    for answer in answers:
        assert (answer["registryId"], answer["repositoryName"]) == (HOME.account, "app")
        assert answer["policyText"].startswith(
            '{\n  "Version" : "2012-10-17",\n  "Statement" : [ {\n    "Sid" : "push",'
        )
        assert json.loads(answer["policyText"]) == POLICY
    for operation in ("GetRepositoryPolicy", "DeleteRepositoryPolicy"):
        refusal = await public.refused(operation, repositoryName="app")
        assert refusal.type == "RepositoryPolicyNotFoundException"
        assert refusal.message == (
            f"Repository policy does not exist for the repository with name 'app' in the registry with id "
            f"'{HOME.account}'"
        )


@pytest.mark.parametrize("text", ["no json", "{}", '{"Statement":[{"Effect":"Perhaps"}]}'])
async def test_a_bad_policy_is_refused_in_ecrs_words(public: Any, text: str) -> None:
    """ECR.md 1.3, "Error texts"."""
    await public("CreateRepository", repositoryName="app")
    refusal = await public.refused("SetRepositoryPolicy", repositoryName="app", policyText=text)
    assert refusal.type == "InvalidParameterException"
    assert refusal.message == (
        "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy provided'"
    )


async def test_who_would_lock_himself_out_must_insist(public: Any) -> None:
    """ECR.md 2.1: `force` when the policy would stop the caller from setting another one; root has a way back."""
    await public("CreateRepository", repositoryName="app")
    deny = {"Effect": "Deny", "Principal": "*", "Action": "ecr-public:SetRepositoryPolicy"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    user = await _user_who_may_everything(public)
    refusal = await public.refused("SetRepositoryPolicy", principal=user, repositoryName="app", policyText=text)
    assert refusal.type == "InvalidParameterException"
    assert (
        await public.refused("GetRepositoryPolicy", repositoryName="app")
    ).type == "RepositoryPolicyNotFoundException"
    await public("SetRepositoryPolicy", principal=user, repositoryName="app", policyText=text, force=True)
    await public("SetRepositoryPolicy", principal=ME, repositoryName="app", policyText=text)


async def test_a_condition_of_the_new_policy_is_asked_of_this_request(public: Any) -> None:
    """ECR.md 2.1, "Condition keys": a repository's tags and the time are asked, as of private repositories."""
    await public("CreateRepository", repositoryName="app", tags=[{"Key": "team", "Value": "a"}])
    user = await _user_who_may_everything(public)

    def denied(operator: str, key: str, value: str) -> dict[str, Any]:
        deny = {"Effect": "Deny", "Principal": "*", "Action": "ecr-public:SetRepositoryPolicy"}
        statement = {**deny, "Condition": {operator: {key: value}}}
        text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        return {"principal": user, "repositoryName": "app", "policyText": text}

    for harmless in (
        denied("StringNotEquals", "aws:ResourceTag/team", "a"),
        denied("DateLessThan", "aws:CurrentTime", "2020-01-01T00:00:00Z"),
    ):
        await public("SetRepositoryPolicy", **harmless)
    for locking in (
        denied("StringEquals", "aws:ResourceTag/team", "a"),
        denied("DateGreaterThan", "aws:CurrentTime", "2020-01-01T00:00:00Z"),
    ):
        assert (await public.refused("SetRepositoryPolicy", **locking)).type == "InvalidParameterException"


async def _user_who_may_everything(public: Any) -> Any:
    holders = public.ecr.house.known.identities.holders
    made = await holders.create_user(HOME.account, "ann", 1_700_000_000.0)
    text = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}'
    await holders.put_inline(HOME.account, "user", "ann", "all", text)
    return user_principal(HOME.account, made)
