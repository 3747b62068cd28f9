"""Repository creation templates: which one makes a repository, and of what."""

import msgspec
import pytest

from mirror.aws.errors import InvalidParameter, InvalidTagParameter
from mirror.rules.repositories import RepositorySettings
from mirror.rules.templates import AppliedFor, Template, check_template, choose, settings_of

EVERY: tuple[AppliedFor, ...] = ("PULL_THROUGH_CACHE", "REPLICATION", "CREATE_ON_PUSH")


def template(prefix: str, applied_for: tuple[AppliedFor, ...] = EVERY) -> Template:
    return Template(prefix, applied_for, 1.0, 1.0)


PROD, TEAM, ROOT = template("prod"), template("prod/team"), template("ROOT")
CHOICES = [
    ([PROD], "prod/x", "prod"),
    ([PROD], "production", None),
    ([PROD], "prod", None),
    ([PROD], "my/prod/x", None),
    ([PROD, TEAM], "prod/team/x", "prod/team"),
    ([TEAM, PROD], "prod/team/x", "prod/team"),
    ([PROD, TEAM], "prod/teams", "prod"),
    ([PROD, TEAM], "prod/teams/x", "prod"),
    ([ROOT, PROD], "prod/x", "prod"),
    ([PROD, ROOT], "production", "ROOT"),
    ([template("a"), ROOT], "a/b", "a"),
    ([template("prod/")], "prod/x", "prod/"),
    ([template("prod/")], "production", None),
    ([], "x", None),
]


@pytest.mark.parametrize(("templates", "name", "wanted"), CHOICES)
def test_the_longest_prefix_wins_and_root_comes_last(templates: list[Template], name: str, wanted: str | None) -> None:
    """ECR.md 2.6, "Selection": the prefix ends at an implied slash."""
    found = choose(templates, name, "CREATE_ON_PUSH")
    assert (found.prefix if found else None) == wanted


def test_a_template_is_only_for_the_actions_it_names() -> None:
    """ECR.md 2.6: "keep templates whose appliedFor has the action"."""
    templates = [template("prod/team", ("REPLICATION",)), template("prod", ("PULL_THROUGH_CACHE",))]
    assert choose(templates, "prod/team/x", "REPLICATION") == templates[0]
    assert choose(templates, "prod/team/x", "PULL_THROUGH_CACHE") == templates[1]
    assert choose(templates, "prod/team/x", "CREATE_ON_PUSH") is None


def test_a_repository_gets_what_its_template_says() -> None:
    """ECR.md 2.6, "Fields"; 2.5 for the defaults without a template."""
    made = Template(
        "prod",
        EVERY,
        1.0,
        1.0,
        encryption="KMS",
        kms_key="key",
        tags={"team": "a"},
        mutability="IMMUTABLE_WITH_EXCLUSION",
        exclusions=("dev-*",),
        repository_policy='{"Statement":[]}',
    )
    assert settings_of(made, 9.5) == RepositorySettings(
        created_at=9.5,
        mutability="IMMUTABLE_WITH_EXCLUSION",
        exclusions=("dev-*",),
        encryption="KMS",
        kms_key="key",
        tags={"team": "a"},
        policy='{"Statement":[]}',
    )
    assert settings_of(None, 9.5) == RepositorySettings(9.5)


def test_a_template_may_not_have_what_no_repository_could() -> None:
    """ECR.md 2.6 and 2.7."""
    check_template(Template("prod", EVERY, 1.0, 1.0, mutability="MUTABLE_WITH_EXCLUSION", exclusions=("v*",)))
    with pytest.raises(InvalidParameter):
        check_template(Template("prod", EVERY, 1.0, 1.0, mutability="MUTABLE_WITH_EXCLUSION"))
    with pytest.raises(InvalidTagParameter):
        check_template(Template("prod", EVERY, 1.0, 1.0, tags={"aws:x": ""}))


def test_a_template_is_stored_as_it_is() -> None:
    made = Template("prod", ("REPLICATION",), 1.0, 2.0, description="d", tags={"k": "v"}, lifecycle_policy="{}")
    assert msgspec.json.decode(msgspec.json.encode(made), type=Template) == made
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"prefix":"p","applied_for":["X"],"created_at":1,"updated_at":1}', type=Template)
