"""The tables of actions."""

import botocore.session
import pytest

from mirror.rules.access.actions import (
    DATA_PLANE,
    ECR_ACTIONS,
    ECR_OPERATIONS,
    ECR_PUBLIC_OPERATIONS,
    KNOWN,
    PUBLIC_PULLS,
    READ_ONLY,
    WITHOUT_RESOURCE,
    Step,
    matching,
    step_actions,
)


@pytest.mark.parametrize(
    ("service", "names", "count"), [("ecr", ECR_OPERATIONS, 62), ("ecr-public", ECR_PUBLIC_OPERATIONS, 23)]
)
def test_every_operation_is_an_action(service: str, names: frozenset[str], count: int) -> None:
    """ECR.md 1: 62 and 23 operations, those of the published service models."""
    model = botocore.session.get_session().get_service_model(service)
    assert names == {f"{service}:{name}" for name in model.operation_names}
    assert len(names) == count


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("ecr:batch*", {n for n in ECR_ACTIONS if n.startswith("ecr:Batch")}),
        ("ECR:BATCHGETIMAGE", {"ecr:BatchGetImage"}),
        ("ecr:PutImag?", {"ecr:PutImage"}),
        ("ecr:*", ECR_ACTIONS),
        ("*", KNOWN),
        ("ecr:NoSuch*", set()),
        ("ecr:NoSuch", set()),
        ("s3:*", set()),
    ],
)
def test_a_pattern_means_the_known_actions_it_matches(pattern: str, names: set[str]) -> None:
    """ECR.md 2.1: wildcards `*` and `?`, in any case."""
    assert matching(pattern) == names


def test_operations_about_no_repository_have_no_resource() -> None:
    """ECR.md 2.1, "Operations without resource-level control"."""
    assert {"ecr:GetAuthorizationToken", "ecr:DescribeRegistry", "ecr:PutAccountSetting"} <= WITHOUT_RESOURCE
    assert {
        "ecr:CreatePullThroughCacheRule",
        "ecr:GetRegistryPolicy",
        "ecr:PutSigningConfiguration",
    } <= WITHOUT_RESOURCE
    assert {"ecr:RegisterPullTimeUpdateExclusion", "ecr:PutReplicationConfiguration"} <= WITHOUT_RESOURCE
    about_a_repository = {name for names in DATA_PLANE.values() for name in names} | {
        "ecr:CreateRepository",
        "ecr:DescribeImageReplicationStatus",
        "ecr:DescribeImageSigningStatus",
        "ecr:BatchGetRepositoryScanningConfiguration",
        "ecr:GetRepositoryPolicy",
    }
    assert about_a_repository.isdisjoint(WITHOUT_RESOURCE)


def test_reading_changes_nothing() -> None:
    assert {"ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr-public:DescribeImages"} <= READ_ONLY
    writing = ("Put", "Create", "Delete", "Set", "BatchDelete", "Upload", "Complete", "Start", "Tag", "Replicate")
    assert not [name for name in READ_ONLY if name.partition(":")[2].startswith(writing)]


def test_the_steps_of_a_pull_are_open_in_a_public_repository() -> None:
    """ECR.md 2.1: everyone may always pull."""
    assert step_actions("get_manifest", public=False) == ("ecr:BatchGetImage",)
    reading: tuple[Step, ...] = ("get_manifest", "get_blob", "head_blob", "list_tags", "list_referrers")
    for step in reading:
        assert set(step_actions(step, public=True)) <= PUBLIC_PULLS
    writing: tuple[Step, ...] = ("start_upload", "append_upload", "finish_upload", "put_manifest", "delete_manifest")
    for step in writing:
        assert PUBLIC_PULLS.isdisjoint(step_actions(step, public=True))
