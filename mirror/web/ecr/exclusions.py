"""Pull-time exclusions by the API. Source: ECR API reference, RegisterPullTimeUpdateExclusion and its kin."""

from collections.abc import Mapping
from typing import Any

from mirror.registry.exclusions import Exclusions
from mirror.web.aws.call import Call, Handler, Service
from mirror.web.ecr.paging import cut_page
from mirror.web.ecr.scope import registry_of


class PullTimeExclusions:
    """The handlers of the three operations on them."""

    def __init__(self, exclusions: Exclusions) -> None:
        self._exclusions = exclusions

    def handlers(self) -> Mapping[tuple[Service, str], Handler]:
        return {
            ("ecr", "RegisterPullTimeUpdateExclusion"): self.register,
            ("ecr", "DeregisterPullTimeUpdateExclusion"): self.deregister,
            ("ecr", "ListPullTimeUpdateExclusions"): self.list,
        }

    async def register(self, call: Call) -> dict[str, Any]:
        """Exclude a principal."""
        arn = call.input["principalArn"]
        return {"principalArn": arn, "createdAt": await self._exclusions.register(registry_of(call), arn)}

    async def deregister(self, call: Call) -> dict[str, Any]:
        """Exclude a principal no longer."""
        arn = call.input["principalArn"]
        await self._exclusions.deregister(registry_of(call), arn)
        return {"principalArn": arn}

    async def list(self, call: Call) -> dict[str, Any]:
        """List who is excluded."""
        found, token = cut_page(call, self._exclusions.list(registry_of(call)), lambda arn: arn)
        return {"pullTimeUpdateExclusions": found, "nextToken": token}
