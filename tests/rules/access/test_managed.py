"""The managed policies that are there from the start."""

import pytest

from mirror.rules.access.actions import ECR_ACTIONS, ECR_PUBLIC_ACTIONS, KNOWN
from mirror.rules.access.grammar import parse_policy
from mirror.rules.access.managed import MANAGED_POLICIES

READ_ONLY = """
GetAuthorizationToken BatchCheckLayerAvailability GetDownloadUrlForLayer GetRepositoryPolicy DescribeRepositories
ListImages DescribeImages BatchGetImage GetLifecyclePolicy GetLifecyclePolicyPreview ListTagsForResource
DescribeImageScanFindings
""".split()  # noqa: SIM905
PUSH = ["InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload", "PutImage"]


def granted(name: str) -> set[str]:
    return {
        action
        for action, statements in parse_policy(MANAGED_POLICIES[name], "identity").by_action.items()
        if all(statement.allow and not statement.conditions for statement in statements)
    }


@pytest.mark.parametrize("name", MANAGED_POLICIES)
def test_a_managed_policy_keeps_the_grammar(name: str) -> None:
    assert parse_policy(MANAGED_POLICIES[name], "identity").statements


def test_the_managed_policies_grant_what_the_guide_lists() -> None:
    """ECR.md 2.1, "Managed policies"."""
    reading = {f"ecr:{name}" for name in READ_ONLY}
    assert granted("AmazonEC2ContainerRegistryReadOnly") == reading
    assert granted("AmazonEC2ContainerRegistryPowerUser") == reading | {f"ecr:{name}" for name in PUSH}
    assert granted("AmazonEC2ContainerRegistryFullAccess") == ECR_ACTIONS
    assert "ecr:BatchImportUpstreamImage" in granted("AmazonEC2ContainerRegistryPullOnly")
    assert "ecr:ListImages" not in granted("AmazonEC2ContainerRegistryPullOnly")
    assert granted("AmazonElasticContainerRegistryPublicFullAccess") == ECR_PUBLIC_ACTIONS | {
        "sts:GetServiceBearerToken"
    }
    assert "ecr-public:PutImage" not in granted("AmazonElasticContainerRegistryPublicReadOnly")
    assert "ecr-public:PutImage" in granted("AmazonElasticContainerRegistryPublicPowerUser")
    assert granted("AdministratorAccess") == KNOWN
    assert "iam:CreateUser" in granted("IAMFullAccess")
    assert granted("IAMFullAccess").isdisjoint(ECR_ACTIONS)
