"""Names of resources and of those who ask."""

import pytest

from mirror.aws.arns import Arn, parse_arn, policy_arn, registry_arn, repository_arn
from mirror.aws.principals import ANONYMOUS, Principal, root_of
from mirror.oci.names import Registry

A = "012345678910"


@pytest.mark.parametrize(
    ("principal", "arn", "meant_by", "condition"),
    [
        (root_of(A), f"arn:aws:iam::{A}:root", (f"arn:aws:iam::{A}:root",), f"arn:aws:iam::{A}:root"),
        (
            Principal("user", A, "ann", "/ops/"),
            f"arn:aws:iam::{A}:user/ops/ann",
            (f"arn:aws:iam::{A}:user/ops/ann",),
            f"arn:aws:iam::{A}:user/ops/ann",
        ),
        (
            Principal("role", A, "ci", "/build/", "job-7"),
            f"arn:aws:sts::{A}:assumed-role/ci/job-7",
            (f"arn:aws:sts::{A}:assumed-role/ci/job-7", f"arn:aws:iam::{A}:role/build/ci"),
            f"arn:aws:iam::{A}:role/build/ci",
        ),
        (ANONYMOUS, "anonymous", (), "anonymous"),
    ],
    ids=["root", "user", "role", "anonymous"],
)
def test_who_asks_has_a_name(principal: Principal, arn: str, meant_by: tuple[str, ...], condition: str) -> None:
    """IAM guide, "AWS JSON policy elements: Principal": a role is meant by its own name and by its session's."""
    assert (principal.arn, principal.policy_arns, principal.principal_arn) == (arn, meant_by, condition)


def test_public_names_have_no_region() -> None:
    """ECR.md 2.1, "ARNs"."""
    assert repository_arn(Registry(A), "us-west-2", "team/app") == f"arn:aws:ecr:us-west-2:{A}:repository/team/app"
    assert repository_arn(Registry(A, public=True), "us-west-2", "app") == f"arn:aws:ecr-public::{A}:repository/app"
    assert registry_arn(Registry(A, public=True), "us-west-2") == f"arn:aws:ecr-public::{A}:registry/{A}"
    assert policy_arn("aws", "/", "ReadOnly") == "arn:aws:iam::aws:policy/ReadOnly"


@pytest.mark.parametrize(
    ("text", "arn"),
    [
        (f"arn:aws:ecr:us-west-2:{A}:repository/team/app", Arn("ecr", "us-west-2", A, "repository/team/app")),
        (f"arn:aws:iam::{A}:user/a:b", Arn("iam", "", A, "user/a:b")),
        (f"arn:aws-cn:iam::{A}:user/a:b", None),
        ("arn:aws:ecr:us-west-2::x", Arn("ecr", "us-west-2", "", "x")),
        ("arn:aws:ecr:us-west-2:12:repository/app", None),
        (f"arn:aws:ecr:us-west-2:{A}:", None),
        (f" arn:aws:ecr:us-west-2:{A}:repository/app", None),
        ("app", None),
        ("", None),
    ],
)
def test_what_is_no_arn_is_none(text: str, arn: Arn | None) -> None:
    """AWS General Reference, "Amazon Resource Names"."""
    assert parse_arn(text) == arn
