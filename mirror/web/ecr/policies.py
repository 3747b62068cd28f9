"""Policies of repositories and of the registry, and the account's settings, by the API.

Source: ECR API reference; ECR.md 2.1 and 2.2. The registry's operations take no `registryId`: they are about the
caller's own.
"""

from collections.abc import Mapping
from typing import Any

from mirror.registry.account_settings import AccountSettings
from mirror.registry.policies import RegistryPolicies, RepositoryPolicies
from mirror.web.aws.call import Call, Handler, Service
from mirror.web.ecr.scope import circumstances, registry_of
from mirror.web.ecr.subjects import Subjects


class Policies:
    """The handlers of repository policies."""

    def __init__(self, subjects: Subjects, policies: RepositoryPolicies) -> None:
        self._subjects = subjects
        self._policies = policies

    def handlers(self) -> Mapping[tuple[Service, str], Handler]:
        return {
            ("ecr", "SetRepositoryPolicy"): self.set_repository_policy,
            ("ecr", "GetRepositoryPolicy"): self.get_repository_policy,
            ("ecr", "DeleteRepositoryPolicy"): self.delete_repository_policy,
        }

    async def set_repository_policy(self, call: Call) -> dict[str, Any]:
        """Set the policy; without `force` none that would lock the caller out."""
        subject, force = self._subjects.of(call), call.input.get("force", False)
        given = call.input["policyText"]
        text = await self._policies.set(subject.repository, given, call.principal, circumstances(call), force=force)
        return {**subject.shape, "policyText": text}

    async def get_repository_policy(self, call: Call) -> dict[str, Any]:
        """Give the policy."""
        subject = self._subjects.of(call)
        return {**subject.shape, "policyText": self._policies.get(subject.repository)}

    async def delete_repository_policy(self, call: Call) -> dict[str, Any]:
        """Delete the policy, and give it one last time."""
        subject = self._subjects.of(call)
        return {**subject.shape, "policyText": await self._policies.delete(subject.repository)}


class RegistrySettings:
    """The handlers of the registry's policy and of the account's settings."""

    def __init__(self, policies: RegistryPolicies, settings: AccountSettings) -> None:
        self._policies = policies
        self._settings = settings

    def handlers(self) -> Mapping[tuple[Service, str], Handler]:
        return {
            ("ecr", "PutRegistryPolicy"): self.put_registry_policy,
            ("ecr", "GetRegistryPolicy"): self.get_registry_policy,
            ("ecr", "DeleteRegistryPolicy"): self.delete_registry_policy,
            ("ecr", "GetAccountSetting"): self.get_account_setting,
            ("ecr", "PutAccountSetting"): self.put_account_setting,
        }

    async def put_registry_policy(self, call: Call) -> dict[str, Any]:
        """Set the policy."""
        registry = registry_of(call)
        return _policy(registry.account, await self._policies.put(registry, call.input["policyText"]))

    async def get_registry_policy(self, call: Call) -> dict[str, Any]:
        """Give the policy."""
        registry = registry_of(call)
        return _policy(registry.account, self._policies.get(registry))

    async def delete_registry_policy(self, call: Call) -> dict[str, Any]:
        """Delete the policy, and give it one last time."""
        registry = registry_of(call)
        return _policy(registry.account, await self._policies.delete(registry))

    async def get_account_setting(self, call: Call) -> dict[str, Any]:
        """Tell a setting."""
        name = call.input["name"]
        return {"name": name, "value": self._settings.get(registry_of(call), name)}

    async def put_account_setting(self, call: Call) -> dict[str, Any]:
        """Change a setting."""
        name, value = call.input["name"], call.input["value"]
        await self._settings.put(registry_of(call), name, value)
        return {"name": name, "value": value}


def _policy(account: str, text: str) -> dict[str, Any]:
    return {"registryId": account, "policyText": text}
