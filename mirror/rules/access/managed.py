"""Managed policies that are there from the start, owned by nobody's account: `arn:aws:iam::aws:policy/NAME`.

Source: AWS managed policy reference; ECR guide, "AWS managed policies for Amazon ECR" and "... for Amazon ECR Public".
What their actions mean here is said where actions are. Pure.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

_PULL: Final = ("ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage")
_READ: Final = (
    "ecr:GetAuthorizationToken",
    *_PULL,
    "ecr:GetRepositoryPolicy",
    "ecr:DescribeRepositories",
    "ecr:ListImages",
    "ecr:DescribeImages",
    "ecr:GetLifecyclePolicy",
    "ecr:GetLifecyclePolicyPreview",
    "ecr:ListTagsForResource",
    "ecr:DescribeImageScanFindings",
)
_PUSH: Final = ("ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage")
_PUBLIC_TOKEN: Final = ("ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken")
_PUBLIC_READ: Final = (
    *_PUBLIC_TOKEN,
    "ecr-public:BatchCheckLayerAvailability",
    "ecr-public:GetRepositoryPolicy",
    "ecr-public:DescribeRepositories",
    "ecr-public:DescribeRegistries",
    "ecr-public:DescribeImages",
    "ecr-public:DescribeImageTags",
    "ecr-public:GetRepositoryCatalogData",
    "ecr-public:GetRegistryCatalogData",
)
_PUBLIC_PUSH: Final = (
    "ecr-public:InitiateLayerUpload",
    "ecr-public:UploadLayerPart",
    "ecr-public:CompleteLayerUpload",
    "ecr-public:PutImage",
)
_ORGANIZATIONS: Final = tuple(
    f"organizations:{name}"
    for name in (
        "DescribeAccount",
        "DescribeOrganization",
        "DescribeOrganizationalUnit",
        "DescribePolicy",
        "ListChildren",
        "ListParents",
        "ListPoliciesForTarget",
        "ListRoots",
        "ListPolicies",
        "ListTargetsForPolicy",
    )
)


def _allow(*actions: str, condition: Mapping[str, Any] | None = None) -> dict[str, Any]:
    statement: dict[str, Any] = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    return statement | ({"Condition": condition} if condition else {})


def _text(statements: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=2)


_REPLICATION_ROLE: Final = {"StringEquals": {"iam:AWSServiceName": ["replication.ecr.amazonaws.com"]}}
MANAGED_POLICIES: Final[Mapping[str, str]] = {
    "AdministratorAccess": _text([{"Effect": "Allow", "Action": "*", "Resource": "*"}]),
    "IAMFullAccess": _text([_allow("iam:*", *_ORGANIZATIONS)]),
    "AmazonEC2ContainerRegistryReadOnly": _text([_allow(*_READ)]),
    "AmazonEC2ContainerRegistryPullOnly": _text(
        [_allow("ecr:GetAuthorizationToken", *_PULL, "ecr:BatchImportUpstreamImage")]
    ),
    "AmazonEC2ContainerRegistryPowerUser": _text([_allow(*_READ, *_PUSH)]),
    "AmazonEC2ContainerRegistryFullAccess": _text(
        [
            _allow("ecr:*", "cloudtrail:LookupEvents"),
            _allow("iam:CreateServiceLinkedRole", condition=_REPLICATION_ROLE),
        ]
    ),
    "AmazonElasticContainerRegistryPublicReadOnly": _text([_allow(*_PUBLIC_READ)]),
    "AmazonElasticContainerRegistryPublicPowerUser": _text([_allow(*_PUBLIC_READ, *_PUBLIC_PUSH)]),
    "AmazonElasticContainerRegistryPublicFullAccess": _text([_allow("ecr-public:*", "sts:GetServiceBearerToken")]),
}
