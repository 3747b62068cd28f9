"""Policies of public repositories by the API.

Source: ECR Public API reference, SetRepositoryPolicy; ECR.md 2.1. They govern who may write: everybody may pull. A
policy is kept as it was sent and given back printed again.
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import replace

from mirror.aws.arns import repository_arn
from mirror.aws.errors import InvalidParameter, RepositoryPolicyNotFound, constraint
from mirror.registry.authority import Identities
from mirror.registry.repositories import Repositories
from mirror.rules.access import Policy, PolicyInvalid, Question, decide, parse_policy
from mirror.rules.access.echo import pretty
from mirror.rules.repositories import RepositorySettings
from mirror.web.aws.call import Call, Handler, Service
from mirror.web.ecr.subjects import Subject, Subjects

SET: Final = "ecr-public:SetRepositoryPolicy"


class PublicPolicies:
    """The handlers of SetRepositoryPolicy, GetRepositoryPolicy and DeleteRepositoryPolicy."""

    def __init__(self, subjects: Subjects, repositories: Repositories, identities: Identities) -> None:
        self._subjects = subjects
        self._repositories = repositories
        self._identities = identities

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
            policy = parse_policy(text, "public-repository")
        except PolicyInvalid:
            raise constraint("PolicyText", "Invalid repository policy provided") from None
        if not call.input.get("force", False):
            self._check_not_locked_out(subject, call, policy)
        await self._repositories.change(subject.repository, lambda settings: replace(settings, policy=text))
        return {**subject.shape, "policyText": pretty(text)}

    async def get_repository_policy(self, call: Call) -> dict[str, Any]:
        """Give the policy."""
        subject = self._subjects.of(call)
        settings = self._repositories.settings(subject.repository)
        return {**subject.shape, "policyText": pretty(_policy(subject, settings))}

    async def delete_repository_policy(self, call: Call) -> dict[str, Any]:
        """Delete the policy, and give it one last time."""
        subject = self._subjects.of(call)
        deleted: list[str] = []

        def without(settings: RepositorySettings) -> RepositorySettings:
            deleted[:] = [_policy(subject, settings)]
            return replace(settings, policy="")

        await self._repositories.change(subject.repository, without)
        return {**subject.shape, "policyText": pretty(deleted[0])}

    def _check_not_locked_out(self, subject: Subject, call: Call, policy: Policy) -> None:
        arn = repository_arn(subject.registry, "", subject.name)
        context = {"aws:sourceip": (call.source_ip,), "aws:securetransport": (str(call.secure).lower(),)}
        question = Question(call.principal, SET, arn, subject.registry.account, context)
        identity = self._identities.identity_policies(call.principal)
        if not decide(question, identity=identity, resource=[policy]).allowed:
            raise InvalidParameter(
                "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'The policy would keep you from "
                "setting another one. Use force to set it anyway.'"
            )


def _policy(subject: Subject, settings: RepositorySettings) -> str:
    if not settings.policy:
        raise RepositoryPolicyNotFound(subject.name, subject.registry)
    return settings.policy
