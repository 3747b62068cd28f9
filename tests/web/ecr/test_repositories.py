"""CreateRepository, DescribeRepositories, DeleteRepository and the settings of a repository."""

import asyncio
import base64
import json

import pytest
from control_calls import ControlCalls
from registries import HOME

from mirror.aws.principals import root_of
from mirror.oci.names import Repository
from mirror.rules.repositories import RepositorySettings, encode

A = HOME.account
OTHER = "222222222222"
KEY = "arn:aws:kms:us-east-1:000000000000:key/1234abcd"
FILTERS = [{"filterType": "WILDCARD", "filter": "dev-*"}]


async def test_a_repository_has_defaults(ecr: ControlCalls) -> None:
    """ECR.md 1.3, "Repository object"."""
    made = (await ecr("CreateRepository", repositoryName="team/sample-repo"))["repository"]
    assert type(made.pop("createdAt")) is float
    assert made == {
        "repositoryArn": f"arn:aws:ecr:us-east-1:{A}:repository/team/sample-repo",
        "registryId": A,
        "repositoryName": "team/sample-repo",
        "repositoryUri": f"{ecr.house.hosts.host(HOME)}/team/sample-repo",
        "imageTagMutability": "MUTABLE",
        "imageScanningConfiguration": {"scanOnPush": False},
        "encryptionConfiguration": {"encryptionType": "AES256"},
    }


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"encryptionType": "KMS", "kmsKey": KEY}, {"encryptionType": "KMS", "kmsKey": KEY}),
        ({"encryptionType": "KMS_DSSE"}, {"encryptionType": "KMS_DSSE"}),
        ({"encryptionType": "AES256"}, {"encryptionType": "AES256"}),
    ],
)
async def test_everything_given_is_echoed(ecr: ControlCalls, given: dict[str, str], shown: dict[str, str]) -> None:
    """ECR.md 1.3: exclusion filters only beside the `_WITH_EXCLUSION` values, `kmsKey` only for KMS."""
    made = await ecr(
        "CreateRepository",
        repositoryName="app",
        tags=[{"Key": "team", "Value": "a"}],
        imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=FILTERS,
        imageScanningConfiguration={"scanOnPush": True},
        encryptionConfiguration=given,
    )
    [found] = (await ecr("DescribeRepositories", repositoryNames=["app"]))["repositories"]
    assert found == made["repository"]
    assert found["encryptionConfiguration"] == shown
    assert found["imageScanningConfiguration"] == {"scanOnPush": True}
    assert found["imageTagMutabilityExclusionFilters"] == FILTERS
    tags = await ecr("ListTagsForResource", resourceArn=found["repositoryArn"])
    assert tags == {"tags": [{"Key": "team", "Value": "a"}]}


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (
            {"repositoryName": "Bad"},
            "InvalidParameterException",
            (
                "Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must satisfy regular expression "
                "'(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*'"
            ),
        ),
        (
            {"imageTagMutability": "FROZEN"},
            "InvalidParameterException",
            (
                "Invalid parameter at 'imageTagMutability' failed to satisfy constraint: must be one of 'MUTABLE', "
                "'IMMUTABLE', 'MUTABLE_WITH_EXCLUSION', 'IMMUTABLE_WITH_EXCLUSION'"
            ),
        ),
        (
            {"imageTagMutability": "MUTABLE_WITH_EXCLUSION"},
            "InvalidParameterException",
            (
                "Invalid parameter at 'imageTagMutabilityExclusionFilters' failed to satisfy constraint: "
                "'ImageTagMutabilityExclusionFilters can't be null when imageTagMutability is set as "
                "MUTABLE_WITH_EXCLUSION'"
            ),
        ),
        ({"tags": [{"Key": "aws:x", "Value": ""}]}, "InvalidTagParameterException", None),
        ({"tags": [{"Key": str(n), "Value": ""} for n in range(51)]}, "TooManyTagsException", None),
        (
            {"encryptionConfiguration": {"encryptionType": "AES256", "kmsKey": KEY}},
            "InvalidParameterException",
            None,
        ),
        (
            {"repositoryName": "there"},
            "RepositoryAlreadyExistsException",
            f"The repository with name 'there' already exists in the registry with id '{A}'",
        ),
    ],
)
async def test_a_bad_repository_is_not_made(
    ecr: ControlCalls, given: dict[str, object], error: str, message: str | None
) -> None:
    """ECR.md 1.3, "Error texts"."""
    await ecr.make("there")
    refusal = await ecr.refused("CreateRepository", **{"repositoryName": "app", **given})
    assert refusal.type == error
    assert message in (None, refusal.message)
    assert len((await ecr("DescribeRepositories"))["repositories"]) == 1


async def test_one_of_two_creations_wins(ecr: ControlCalls) -> None:
    """ECR.md 1.3: RepositoryAlreadyExists."""
    calls = (ecr("CreateRepository", repositoryName="app") for _ in range(4))
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(one, dict) for one in done) == 1
    assert {one.aws for one in done if not isinstance(one, dict)} == {"RepositoryAlreadyExistsException"}


@pytest.mark.parametrize("size", [1, 2, 5, 100])
async def test_repositories_come_in_pages(ecr: ControlCalls, size: int) -> None:
    """ECR.md 1.3, "Pagination"."""
    names = ["a/b", "app", "app-2", "b", "z"]
    for name in names:
        await ecr.make(name)
    pages = await ecr.pages("DescribeRepositories", "repositories", maxResults=size)
    assert [one["repositoryName"] for page in pages for one in page] == names
    assert len(pages) == -(-len(names) // size)


async def test_named_repositories_are_answered_at_once(ecr: ControlCalls) -> None:
    """ECR.md 1.3: `repositoryNames` are not combined with pages, and an unknown one is an error."""
    for name in ("one", "two"):
        await ecr.make(name)
    answer = await ecr("DescribeRepositories", repositoryNames=["two", "one", "two"], maxResults=1)
    assert [one["repositoryName"] for one in answer["repositories"]] == ["two", "one"]
    assert "nextToken" not in answer
    refusal = await ecr.refused("DescribeRepositories", repositoryNames=["one", "none"])
    assert (refusal.type, refusal.message) == (
        "RepositoryNotFoundException",
        f"The repository with name 'none' does not exist in the registry with id '{A}'",
    )


async def test_a_repository_of_a_lost_upstream_is_not_listed(ecr: ControlCalls) -> None:
    """No name leads to it, so a description of it would be of nothing."""
    await ecr.store.catalog.create_repository(
        Repository(HOME, "gone.test", "app"), encode(RepositorySettings(1.0)), 1.0
    )
    assert (await ecr("DescribeRepositories"))["repositories"] == []


@pytest.mark.parametrize("cursor", [["a"], [1, 2], ["a\0b", "c"], [None, "a"], ["a", "b", "c"]])
async def test_a_made_up_token_is_refused(ecr: ControlCalls, cursor: list[object]) -> None:
    """ECR.md 1.3: what is in a token is never trusted."""
    body = json.dumps(["ecr", "DescribeRepositories", *cursor]).encode()
    refusal = await ecr.refused("DescribeRepositories", nextToken=base64.urlsafe_b64encode(body).decode().rstrip("="))
    assert refusal.message == "Invalid parameter at 'nextToken' failed to satisfy constraint: 'Invalid token'"


async def test_a_foreign_registry_is_another_one(ecr: ControlCalls) -> None:
    """ECR.md 5, item 12: `registryId` is never ignored."""
    await ecr.make("app")
    refusal = await ecr.refused("DescribeRepositories", registryId=OTHER, repositoryNames=["app"])
    assert refusal.message == f"The repository with name 'app' does not exist in the registry with id '{OTHER}'"
    made = await ecr("CreateRepository", principal=root_of(OTHER), repositoryName="app")
    assert made["repository"]["registryId"] == OTHER
    assert made["repository"]["repositoryUri"].startswith(f"{OTHER}.dkr.ecr.us-east-1.")
    assert len((await ecr("DescribeRepositories", registryId=OTHER))["repositories"]) == 1


async def test_a_repository_with_images_is_deleted_by_force(ecr: ControlCalls) -> None:
    """ECR.md 1.3: RepositoryNotEmpty; DeleteRepository echoes the object."""
    made = (await ecr("CreateRepository", repositoryName="app"))["repository"]
    await ecr.push("app", "v1")
    refusal = await ecr.refused("DeleteRepository", repositoryName="app")
    assert (refusal.type, refusal.message) == (
        "RepositoryNotEmptyException",
        f"The repository with name 'app' in registry with id '{A}' cannot be deleted because it still contains images",
    )
    assert (await ecr("DeleteRepository", repositoryName="app", force=True))["repository"] == made
    assert (await ecr.refused("DeleteRepository", repositoryName="app")).type == "RepositoryNotFoundException"


async def test_mutability_is_set(ecr: ControlCalls) -> None:
    """ECR.md 2.7: other values forbid filters, and take the old ones away."""
    await ecr.make("app")
    about = {"registryId": A, "repositoryName": "app"}
    given = {"imageTagMutability": "MUTABLE_WITH_EXCLUSION", "imageTagMutabilityExclusionFilters": FILTERS}
    assert await ecr("PutImageTagMutability", repositoryName="app", **given) == {**about, **given}
    answer = await ecr("PutImageTagMutability", repositoryName="app", imageTagMutability="IMMUTABLE")
    assert answer == {**about, "imageTagMutability": "IMMUTABLE"}
    [shown] = (await ecr("DescribeRepositories"))["repositories"]
    assert shown["imageTagMutability"] == "IMMUTABLE"
    assert "imageTagMutabilityExclusionFilters" not in shown
    refusal = await ecr.refused(
        "PutImageTagMutability", repositoryName="app", **{**given, "imageTagMutability": "MUTABLE"}
    )
    assert refusal.type == "InvalidParameterException"


async def test_scanning_is_set_and_echoed(ecr: ControlCalls) -> None:
    """ECR.md 2.8: deprecated, and used by every Terraform module."""
    await ecr.make("app")
    given = {"imageScanningConfiguration": {"scanOnPush": True}}
    answer = await ecr("PutImageScanningConfiguration", repositoryName="app", **given)
    assert answer == {"registryId": A, "repositoryName": "app", **given}
    [shown] = (await ecr("DescribeRepositories"))["repositories"]
    assert shown["imageScanningConfiguration"] == {"scanOnPush": True}


async def test_tags_are_merged_and_taken_away(ecr: ControlCalls) -> None:
    """ECR.md 1.3, "Tags"."""
    arn = (await ecr("CreateRepository", repositoryName="app"))["repository"]["repositoryArn"]
    assert await ecr("TagResource", resourceArn=arn, tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": ""}]) == {}
    await ecr("TagResource", resourceArn=arn, tags=[{"Key": "a", "Value": "2"}])
    assert await ecr("UntagResource", resourceArn=arn, tagKeys=["b", "none"]) == {}
    assert await ecr("ListTagsForResource", resourceArn=arn) == {"tags": [{"Key": "a", "Value": "2"}]}
    many = [{"Key": f"k{n}", "Value": ""} for n in range(50)]
    assert (await ecr.refused("TagResource", resourceArn=arn, tags=many)).type == "TooManyTagsException"
    reserved = [{"Key": "aws:a", "Value": ""}]
    assert (await ecr.refused("TagResource", resourceArn=arn, tags=reserved)).type == "InvalidTagParameterException"


@pytest.mark.parametrize(
    "arn",
    [
        "app",
        f"arn:aws:ecr:us-east-1:{A}:registry/app",
        f"arn:aws:ecr:eu-west-1:{A}:repository/app",
        f"arn:aws:ecr-public::{A}:repository/app",
        f"arn:aws:ecr:us-east-1:{A}:repository/",
        f"arn:aws:ecr:us-east-1:{A}:repository/a//b",
        "arn:aws:ecr:us-east-1::repository/app",
    ],
)
async def test_a_bad_arn_is_told(ecr: ControlCalls, arn: str) -> None:
    """ECR.md 1.3, "Tags"."""
    await ecr.make("app")
    refusal = await ecr.refused("ListTagsForResource", resourceArn=arn)
    assert (refusal.type, refusal.message) == (
        "InvalidParameterException",
        "Invalid parameter at 'resourceArn' failed to satisfy constraint: 'Invalid ARN'",
    )


async def test_an_arn_of_another_account_is_another_registry(ecr: ControlCalls) -> None:
    """ECR.md 5, item 12."""
    await ecr.make("app")
    refusal = await ecr.refused("ListTagsForResource", resourceArn=f"arn:aws:ecr:us-east-1:{OTHER}:repository/app")
    assert (refusal.type, refusal.message) == (
        "RepositoryNotFoundException",
        f"The repository with name 'app' does not exist in the registry with id '{OTHER}'",
    )
