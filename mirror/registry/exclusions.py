"""Pull-time exclusions: principals whose pulls leave the time of an image's last pull alone.

Source: ECR guide, "Pull time update exclusions"; ECR.md 2.9: scanners and replicators would keep every image young.
"""

import asyncio
import time
from typing import Final

import msgspec

from mirror.aws.errors import ExclusionAlreadyExists, ExclusionNotFound, LimitExceeded
from mirror.aws.principals import Principal
from mirror.oci.names import Registry
from mirror.store.documents import Documents, Edit

EXCLUSION: Final = "pull_time_exclusion"  # the kind of document; its name is the principal's ARN
EXCLUSIONS_MAX: Final = 100  # ECR quota of a registry


class _Exclusion(msgspec.Struct, frozen=True):
    created_at: float


class Exclusions:
    """The exclusions of all registries."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._changing = asyncio.Lock()

    def covers(self, registry: Registry, principal: Principal) -> bool:
        """Tell whether a pull by `principal` is not to be noted: it, or the role that it has assumed, is excluded."""
        return self._documents.get(registry, EXCLUSION, principal.principal_arn) is not None

    def list(self, registry: Registry) -> list[str]:
        """List the excluded principals, by ARN."""
        return [arn for arn, _ in self._documents.list(registry, EXCLUSION)]

    async def register(self, registry: Registry, arn: str) -> float:
        """Exclude a principal; return when (unix seconds). Raises ExclusionAlreadyExists, LimitExceeded."""
        async with self._changing:
            known = self.list(registry)
            if arn in known:
                raise ExclusionAlreadyExists(f"The pull time update exclusion for '{arn}' already exists")
            if len(known) >= EXCLUSIONS_MAX:
                raise LimitExceeded(f"The maximum number of pull time update exclusions is {EXCLUSIONS_MAX}")
            made = _Exclusion(time.time())
            await self._documents.write([Edit(registry, EXCLUSION, arn, msgspec.json.encode(made))])
        return made.created_at

    async def deregister(self, registry: Registry, arn: str) -> None:
        """Exclude a principal no longer. Raises ExclusionNotFound."""
        async with self._changing:
            if self._documents.get(registry, EXCLUSION, arn) is None:
                raise ExclusionNotFound(f"The pull time update exclusion for '{arn}' does not exist")
            await self._documents.write([Edit(registry, EXCLUSION, arn, None)])
