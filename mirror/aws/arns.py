"""Amazon resource names: how registries, repositories and principals are named in policies and answers.

Source: ECR guide, "Amazon ECR repository policies" (private names have a region, public ones none); IAM guide, "IAM
identifiers". Pure.
"""

import re
from dataclasses import dataclass
from typing import Final

from mirror.oci.names import Registry

PARTITION: Final = "aws"
ACCOUNT: Final = re.compile(r"[0-9]{12}")
_ARN: Final = re.compile(rf"arn:{PARTITION}:([a-z0-9-]+):([a-z0-9-]*):([0-9]{{12}})?:(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Arn:
    """A resource name taken apart; `region` and `account` may be empty."""

    service: str
    region: str
    account: str
    resource: str


def parse_arn(text: str) -> Arn | None:
    """Read an ARN; None for anything else, and for those of other partitions: nothing here is in one."""
    match = _ARN.fullmatch(text)
    return Arn(match[1], match[2], match[3] or "", match[4]) if match else None


def repository_arn(registry: Registry, region: str, name: str) -> str:
    """Name a repository: `arn:aws:ecr:<region>:<account>:repository/<name>`, of a public registry without region."""
    return f"{_of(registry, region)}:repository/{name}"


def registry_arn(registry: Registry, region: str) -> str:
    """Name a registry; only public ones have a name of their own."""
    return f"{_of(registry, region)}:registry/{registry.account}"


def root_arn(account: str) -> str:
    return f"arn:{PARTITION}:iam::{account}:root"


def user_arn(account: str, path: str, name: str) -> str:
    """Name a user; `path` begins and ends with a slash."""
    return f"arn:{PARTITION}:iam::{account}:user{path}{name}"


def role_arn(account: str, path: str, name: str) -> str:
    return f"arn:{PARTITION}:iam::{account}:role{path}{name}"


def policy_arn(account: str, path: str, name: str) -> str:
    """Name a managed policy; the built-in ones belong to the account "aws"."""
    return f"arn:{PARTITION}:iam::{account}:policy{path}{name}"


def assumed_role_arn(account: str, name: str, session: str) -> str:
    """Name who has assumed a role: no path, and the service is sts."""
    return f"arn:{PARTITION}:sts::{account}:assumed-role/{name}/{session}"


def _of(registry: Registry, region: str) -> str:
    if registry.public:
        return f"arn:{PARTITION}:ecr-public::{registry.account}"
    return f"arn:{PARTITION}:ecr:{region}:{registry.account}"
