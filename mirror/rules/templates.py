"""Repository creation templates: what a repository gets that comes to be without CreateRepository.

Source: ECR guide, "Templates to control repositories created during a pull through cache, create on push, or
replication action"; ECR.md 2.6. A prefix ends at an implied slash. Lengths and patterns are the API model's concern,
the texts of the policies that of their grammars. Pure.
"""

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from mirror.rules.mutability import check_settings
from mirror.rules.repositories import AES256, RepositorySettings
from mirror.rules.resource_tags import check_tags

ROOT: Final = "ROOT"  # the template of every repository that no other one is for
AppliedFor = Literal["PULL_THROUGH_CACHE", "REPLICATION", "CREATE_ON_PUSH"]


class Template(msgspec.Struct, frozen=True, omit_defaults=True):
    """One template of a registry, as it was put. Times in unix seconds; policies are texts, "" for none."""

    prefix: str
    applied_for: tuple[AppliedFor, ...]
    created_at: float
    updated_at: float
    description: str = ""
    encryption: str = AES256
    kms_key: str = ""
    tags: dict[str, str] = {}
    mutability: str = "MUTABLE"
    exclusions: tuple[str, ...] = ()
    repository_policy: str = ""
    lifecycle_policy: str = ""
    custom_role_arn: str = ""


def check_template(template: Template) -> None:
    """Raise InvalidParameter, InvalidTagParameter or TooManyTags for settings that no repository could have."""
    check_settings(template.mutability, template.exclusions)
    check_tags(template.tags.items())


def choose(templates: Iterable[Template], name: str, applied_for: AppliedFor) -> Template | None:
    """Return the template that makes the repository `name`: of those for this action the longest prefix, else ROOT.

    None: a push is refused, a pull through the cache and a replication make the repository with defaults.
    """
    found = [one for one in templates if applied_for in one.applied_for and _covers(one.prefix, name)]
    return max(found, key=lambda one: 0 if one.prefix == ROOT else len(one.prefix.rstrip("/")), default=None)


def settings_of(template: Template | None, now: float) -> RepositorySettings:
    """Return the settings of a repository made at `now` (unix seconds) by `template`, or by none."""
    if template is None:
        return RepositorySettings(now)
    return RepositorySettings(
        created_at=now,
        mutability=template.mutability,
        exclusions=template.exclusions,
        encryption=template.encryption,
        kms_key=template.kms_key,
        tags=template.tags,
        policy=template.repository_policy,
    )


def _covers(prefix: str, name: str) -> bool:
    return prefix == ROOT or name.startswith(prefix.rstrip("/") + "/")
