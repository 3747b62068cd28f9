"""Which operations have a handler here."""

from typing import Any

from ecr_calls import MODELS

PRIVATE = {
    "BatchCheckLayerAvailability",
    "BatchDeleteImage",
    "BatchGetImage",
    "CompleteLayerUpload",
    "DeleteLifecyclePolicy",
    "DescribeImages",
    "GetDownloadUrlForLayer",
    "GetLifecyclePolicy",
    "GetLifecyclePolicyPreview",
    "InitiateLayerUpload",
    "ListImageReferrers",
    "ListImages",
    "PutImage",
    "PutLifecyclePolicy",
    "StartLifecyclePolicyPreview",
    "UpdateImageStorageClass",
    "UploadLayerPart",
}


async def test_every_operation_of_ecr_public_has_a_handler_but_the_one_with_the_tokens(public: Any) -> None:
    """ECR.md 1.1: 23 operations."""
    found = {name for service, name in public.ecr.handlers if service == "ecr-public"}
    assert found == MODELS.names("ecr-public") - {"GetAuthorizationToken"}


async def test_every_operation_of_ecr_on_contents_has_a_handler(public: Any) -> None:
    """ECR.md 1.1: those on images, layers and lifecycle policies."""
    assert {name for service, name in public.ecr.handlers if service == "ecr"} == PRIVATE
