"""Policies of public repositories by the API.

Source: ECR Public API reference, SetRepositoryPolicy; ECR.md 2.1. They govern who may write: everybody may pull. A
policy is kept as it was sent and given back printed again.
"""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from mirror.aws.errors import constraint
from mirror.registry.policies import RepositoryPolicies
from mirror.registry.repositories import Repositories
from mirror.rules.access import PolicyInvalid, parse_policy
from mirror.rules.access.echo import pretty
from mirror.web.aws.call import Call, Handler, Service
from mirror.web.ecr.scope import circumstances
from mirror.web.ecr.subjects import Subjects


class PublicPolicies:
    """The handlers of SetRepositoryPolicy, GetRepositoryPolicy and DeleteRepositoryPolicy."""

    def __init__(self, subjects: Subjects, repositories: Repositories, policies: RepositoryPolicies) -> None:
        self._subjects = subjects
        self._repositories = repositories
        self._policies = policies

    def handlers(self) -> Mapping[tuple[Service, str], Handler]:
        return {
            ("ecr-public", "SetRepositoryPolicy"): self.set_repository_policy,
            ("ecr-public", "GetRepositoryPolicy"): self.get_repository_policy,
            ("ecr-public", "DeleteRepositoryPolicy"): self.delete_repository_policy,
        }

    async def set_repository_policy(self, call: Call) -> dict[str, Any]:
        """Set the policy, unless it would keep the caller from setting another one."""
        subject, text = self._subjects.of(call), call.input["policyText"]
        try:
            parse_policy(text, "public-repository")
        except PolicyInvalid:
            raise constraint("PolicyText", "Invalid repository policy provided") from None
        if not call.input.get("force", False):
            self._policies.check_not_locked_out(subject.repository, text, call.principal, circumstances(call))
        await self._repositories.change(subject.repository, lambda settings: replace(settings, policy=text))
        return {**subject.shape, "policyText": pretty(text)}

    async def get_repository_policy(self, call: Call) -> dict[str, Any]:
        """Give the policy."""
        subject = self._subjects.of(call)
        return {**subject.shape, "policyText": self._policies.get(subject.repository)}

    async def delete_repository_policy(self, call: Call) -> dict[str, Any]:
        """Delete the policy, and give it one last time."""
        subject = self._subjects.of(call)
        return {**subject.shape, "policyText": await self._policies.delete(subject.repository)}
