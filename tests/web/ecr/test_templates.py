"""Repository creation templates by the API."""

import json

import pytest
from accounts import allow, policy
from control_calls import ControlCalls
from registries import HOME

from mirror.oci.names import Repository
from mirror.rules.access.echo import pretty

A = HOME.account
POLICY = policy(allow("*", "ecr:BatchGetImage"))
RULE = {
    "rulePriority": 1,
    "selection": {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 14},
    "action": {"type": "expire"},
}
LIFECYCLE = json.dumps({"rules": [RULE]}, indent=3)
FULL = {
    "prefix": "prod",
    "description": "for production",
    "encryptionConfiguration": {"encryptionType": "KMS"},
    "resourceTags": [{"Key": "team", "Value": "a"}],
    "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
    "imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": "dev-*"}],
    "repositoryPolicy": POLICY,
    "lifecyclePolicy": LIFECYCLE,
    "appliedFor": ["CREATE_ON_PUSH", "PULL_THROUGH_CACHE"],
    "customRoleArn": f"arn:aws:iam::{A}:role/templates",
}
BARE = {"prefix": "ROOT", "appliedFor": ["REPLICATION"]}


async def test_a_template_is_kept_as_it_was_given(ecr: ControlCalls) -> None:
    """ECR.md 2.6: policies are echoed printed, or as stored."""
    made = await ecr("CreateRepositoryCreationTemplate", **FULL)
    shown = dict(made["repositoryCreationTemplate"])
    assert made["registryId"] == A
    assert shown.pop("createdAt") == shown.pop("updatedAt")
    stored = json.dumps({"rules": [RULE]}, separators=(",", ":"))
    assert shown == {**FULL, "repositoryPolicy": pretty(POLICY), "lifecyclePolicy": stored}
    bare = (await ecr("CreateRepositoryCreationTemplate", **BARE))["repositoryCreationTemplate"]
    assert {key: value for key, value in bare.items() if not key.endswith("At")} == {
        **BARE,
        "imageTagMutability": "MUTABLE",
        "encryptionConfiguration": {"encryptionType": "AES256"},
    }
    listed = await ecr("DescribeRepositoryCreationTemplates")
    assert listed == {
        "registryId": A,
        "repositoryCreationTemplates": [bare, made["repositoryCreationTemplate"]],
    }


async def test_a_prefix_has_one_template(ecr: ControlCalls) -> None:
    """ECR.md 2.6: TemplateAlreadyExists; the slash at a prefix's end is implied."""
    await ecr("CreateRepositoryCreationTemplate", **FULL)
    for prefix in ("prod", "prod/"):
        refusal = await ecr.refused("CreateRepositoryCreationTemplate", **{**BARE, "prefix": prefix})
        assert refusal.type == "TemplateAlreadyExistsException"


async def test_templates_are_found_by_prefix_and_in_pages(ecr: ControlCalls) -> None:
    """ECR.md 1.3 and 2.6: unknown prefixes are no fault."""
    for prefix in ("a", "b", "c/d"):
        await ecr("CreateRepositoryCreationTemplate", **{**BARE, "prefix": prefix})
    answer = await ecr("DescribeRepositoryCreationTemplates", prefixes=["c/d", "none"])
    assert [one["prefix"] for one in answer["repositoryCreationTemplates"]] == ["c/d"]
    pages = await ecr.pages("DescribeRepositoryCreationTemplates", "repositoryCreationTemplates", maxResults=2)
    assert [[one["prefix"] for one in page] for page in pages] == [["a", "b"], ["c/d"]]


async def test_an_update_changes_what_is_given(ecr: ControlCalls) -> None:
    """ECR.md 2.6: an empty policy text clears it."""
    made = (await ecr("CreateRepositoryCreationTemplate", **FULL))["repositoryCreationTemplate"]
    answer = await ecr("UpdateRepositoryCreationTemplate", prefix="prod", description="other")
    changed = answer["repositoryCreationTemplate"]
    assert changed.pop("updatedAt") >= made.pop("updatedAt")
    assert changed == {**made, "description": "other"}
    answer = await ecr(
        "UpdateRepositoryCreationTemplate",
        prefix="prod",
        repositoryPolicy="",
        lifecyclePolicy="",
        imageTagMutability="IMMUTABLE",
        appliedFor=["REPLICATION"],
        resourceTags=[],
        encryptionConfiguration={"encryptionType": "AES256"},
    )
    changed = answer["repositoryCreationTemplate"]
    gone = {"repositoryPolicy", "lifecyclePolicy", "imageTagMutabilityExclusionFilters", "resourceTags"}
    assert not gone & changed.keys()
    assert (changed["imageTagMutability"], changed["appliedFor"]) == ("IMMUTABLE", ["REPLICATION"])
    refusal = await ecr.refused("UpdateRepositoryCreationTemplate", prefix="none")
    assert refusal.type == "TemplateNotFoundException"


async def test_a_template_is_deleted(ecr: ControlCalls) -> None:
    """ECR.md 1.1: the answer describes it one last time."""
    made = await ecr("CreateRepositoryCreationTemplate", **FULL)
    assert await ecr("DeleteRepositoryCreationTemplate", prefix="prod") == made
    assert (await ecr.refused("DeleteRepositoryCreationTemplate", prefix="prod")).type == "TemplateNotFoundException"


@pytest.mark.parametrize(
    "given",
    [
        {
            "imageTagMutability": "IMMUTABLE",
            "imageTagMutabilityExclusionFilters": FULL["imageTagMutabilityExclusionFilters"],
        },
        {"imageTagMutability": "MUTABLE_WITH_EXCLUSION"},
        {"resourceTags": [{"Key": "aws:a", "Value": ""}]},
        {"resourceTags": [{"Key": "a", "Value": ""}, {"Key": "a", "Value": "b"}]},
        {"repositoryPolicy": "{}"},
        {"lifecyclePolicy": "{}"},
        {"appliedFor": ["SOMETHING"]},
        {"prefix": "Bad"},
    ],
)
async def test_a_template_that_no_repository_could_have_is_refused(ecr: ControlCalls, given: dict[str, object]) -> None:
    """ECR.md 2.6: only errors that the operations model."""
    refusal = await ecr.refused("CreateRepositoryCreationTemplate", **{**BARE, **given})
    assert refusal.type in ("InvalidParameterException", "ValidationException")
    assert (await ecr("DescribeRepositoryCreationTemplates"))["repositoryCreationTemplates"] == []


async def test_a_repository_is_made_by_its_template(ecr: ControlCalls) -> None:
    """ECR.md 2.6: the longest prefix, with an implied slash; `prod` is not `production`."""
    await ecr("CreateRepositoryCreationTemplate", **FULL)
    for name in ("prod/app", "production/app"):
        await ecr.house.repositories.make(Repository(HOME, "", name), "CREATE_ON_PUSH")
    found = (await ecr("DescribeRepositories"))["repositories"]
    assert [one["imageTagMutability"] for one in found] == ["IMMUTABLE_WITH_EXCLUSION", "MUTABLE"]
    text = (await ecr("GetLifecyclePolicy", repositoryName="prod/app"))["lifecyclePolicyText"]
    assert json.loads(text) == {"rules": [RULE]}
    assert (await ecr("GetRepositoryPolicy", repositoryName="prod/app"))["policyText"] == pretty(POLICY)
