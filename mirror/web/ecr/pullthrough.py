"""Pull-through cache rules by the API.

Source: ECR API reference; ECR.md 2.5. Beyond AWS's list any registry may be an upstream, by its http or https URL; a
rule of such a one has no `upstreamRegistry`, whose values AWS alone knows.
"""

import time
from collections.abc import Mapping
from typing import Any, Final

from mirror.oci.names import Registry
from mirror.registry.pullthrough import PullThrough
from mirror.rules.pullthrough import ROOT, PullThroughRule
from mirror.web.aws.call import Call, Handler, Service
from mirror.web.ecr.paging import cut_page
from mirror.web.ecr.scope import registry_of

_CREATED: Final = ("ecrRepositoryPrefix", "upstreamRegistryUrl", "createdAt", "registryId", "upstreamRegistry")
_OPTIONS: Final = ("credentialArn", "customRoleArn", "upstreamRepositoryPrefix")


class PullThroughRules:
    """The handlers of the five operations on rules."""

    def __init__(self, rules: PullThrough) -> None:
        self._rules = rules

    def handlers(self) -> Mapping[tuple[Service, str], Handler]:
        return {
            ("ecr", "CreatePullThroughCacheRule"): self.create,
            ("ecr", "DescribePullThroughCacheRules"): self.describe,
            ("ecr", "UpdatePullThroughCacheRule"): self.update,
            ("ecr", "DeletePullThroughCacheRule"): self.delete,
            ("ecr", "ValidatePullThroughCacheRule"): self.validate,
        }

    async def create(self, call: Call) -> dict[str, Any]:
        """Make a rule."""
        registry, given = registry_of(call), call.input
        rule = PullThroughRule(
            prefix=given["ecrRepositoryPrefix"],
            upstream_url=given["upstreamRegistryUrl"],
            created_at=time.time(),
            upstream_registry=given.get("upstreamRegistry", ""),
            upstream_prefix=given.get("upstreamRepositoryPrefix", ROOT),
            credential_arn=given.get("credentialArn", ""),
            custom_role_arn=given.get("customRoleArn", ""),
        )
        return _part(_written(registry, await self._rules.create(registry, rule)), *_CREATED, *_OPTIONS)

    async def describe(self, call: Call) -> dict[str, Any]:
        """Describe all rules, or those of some prefixes, which must be there."""
        registry = registry_of(call)
        if "ecrRepositoryPrefixes" in call.input:
            prefixes = dict.fromkeys(call.input["ecrRepositoryPrefixes"])
            found, token = [self._rules.get(registry, prefix) for prefix in prefixes], None
        else:
            found, token = cut_page(call, self._rules.all(registry), lambda rule: rule.prefix)
        return {"pullThroughCacheRules": [_written(registry, rule) for rule in found], "nextToken": token}

    async def update(self, call: Call) -> dict[str, Any]:
        """Change the secret or the role of a rule."""
        registry, given = registry_of(call), call.input
        rule = await self._rules.update(
            registry, given["ecrRepositoryPrefix"], given.get("credentialArn"), given.get("customRoleArn")
        )
        return _part(_written(registry, rule), "ecrRepositoryPrefix", "registryId", "updatedAt", *_OPTIONS)

    async def delete(self, call: Call) -> dict[str, Any]:
        """Delete a rule; its repositories stay."""
        registry = registry_of(call)
        shape = _written(registry, await self._rules.delete(registry, call.input["ecrRepositoryPrefix"]))
        return _part(shape, "ecrRepositoryPrefix", "upstreamRegistryUrl", "createdAt", "registryId", *_OPTIONS)

    async def validate(self, call: Call) -> dict[str, Any]:
        """Ask the upstream whether it can be used: an answer either way."""
        registry, prefix = registry_of(call), call.input["ecrRepositoryPrefix"]
        shape = _written(registry, self._rules.get(registry, prefix))
        fault = await self._rules.fault(registry, prefix)
        about = _part(shape, "ecrRepositoryPrefix", "registryId", "upstreamRegistryUrl", *_OPTIONS)
        return {**about, "isValid": not fault, "failure": fault or None}


def _written(registry: Registry, rule: PullThroughRule) -> dict[str, Any]:
    """Write a PullThroughCacheRule."""
    return {
        "ecrRepositoryPrefix": rule.prefix,
        "upstreamRegistryUrl": rule.upstream_url,
        "createdAt": rule.created_at,
        "registryId": registry.account,
        "credentialArn": rule.credential_arn or None,
        "customRoleArn": rule.custom_role_arn or None,
        "upstreamRepositoryPrefix": rule.upstream_prefix,
        "upstreamRegistry": rule.upstream_registry or None,
        "updatedAt": rule.updated_at or None,
    }


def _part(shape: Mapping[str, Any], *members: str) -> dict[str, Any]:
    """Return the members that an answer has of a rule."""
    return {member: shape[member] for member in members}
