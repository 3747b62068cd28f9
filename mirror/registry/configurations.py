"""Configurations: what a registry is told as one piece of JSON: how it scans, where it replicates to, who signs.

Source: ECR.md 2.4, 2.8 and 2.9. Each is put whole, in place of the one before. This node has no scanner and no signer:
those configurations are checked, kept and given back. Whoever acts on one reads it here.
"""

from typing import Final

import msgspec

from mirror.aws.arns import parse_arn
from mirror.aws.errors import SigningConfigurationNotFound, ValidationFailed
from mirror.oci.names import Registry
from mirror.rules.replication import ReplicationConfiguration, check_replication
from mirror.rules.scanning import ScanningConfiguration, check_scanning
from mirror.store.documents import Documents, Edit

SCANNING: Final = "scanning"  # kinds of documents
REPLICATION: Final = "replication"
SIGNING: Final = "signing"


class SigningFilter(msgspec.Struct, frozen=True, rename="camel"):
    """A glob over names of repositories."""

    filter: str
    filter_type: str


class SigningRule(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Images of the repositories that match any filter, or of all if there is none, are signed with this profile."""

    signing_profile_arn: str
    repository_filters: tuple[SigningFilter, ...] = ()


class SigningConfiguration(msgspec.Struct, frozen=True):
    """The signing configuration of a registry."""

    rules: tuple[SigningRule, ...]


class Configurations:
    """The configurations of all registries of one region."""

    def __init__(self, documents: Documents, region: str) -> None:
        self._documents = documents
        self._region = region

    def scanning(self, registry: Registry) -> ScanningConfiguration:
        """Return how a registry scans: BASIC with no rule, unless it was told."""
        body = self._documents.get(registry, SCANNING)
        return msgspec.json.decode(body, type=ScanningConfiguration) if body else ScanningConfiguration()

    async def put_scanning(self, registry: Registry, configuration: ScanningConfiguration) -> None:
        """Tell a registry how to scan. Raises InvalidParameter."""
        check_scanning(configuration)
        await self._put(registry, SCANNING, msgspec.json.encode(configuration))

    def replication(self, registry: Registry) -> ReplicationConfiguration:
        """Return where a registry replicates to: nowhere, unless it was told."""
        body = self._documents.get(registry, REPLICATION)
        return msgspec.json.decode(body, type=ReplicationConfiguration) if body else ReplicationConfiguration(())

    async def put_replication(self, registry: Registry, configuration: ReplicationConfiguration) -> None:
        """Tell a registry where to replicate to; no rule takes the configuration away. Raises InvalidParameter."""
        check_replication(configuration, self._region, registry.account)
        await self._put(registry, REPLICATION, msgspec.json.encode(configuration) if configuration.rules else None)

    def signing(self, registry: Registry) -> SigningConfiguration:
        """Return who signs. Raises SigningConfigurationNotFound."""
        body = self._documents.get(registry, SIGNING)
        if body is None:
            raise SigningConfigurationNotFound(
                f"The signing configuration does not exist in the registry with id '{registry.account}'"
            )
        return msgspec.json.decode(body, type=SigningConfiguration)

    async def put_signing(self, registry: Registry, configuration: SigningConfiguration) -> None:
        """Say who signs. Raises ValidationFailed for a profile of another region."""
        for rule in configuration.rules:
            arn = parse_arn(rule.signing_profile_arn)
            if arn is None or arn.region != self._region:
                raise ValidationFailed(f"The signing profile {rule.signing_profile_arn} must be in {self._region}")
        await self._put(registry, SIGNING, msgspec.json.encode(configuration))

    async def delete_signing(self, registry: Registry) -> SigningConfiguration:
        """Forget who signs; return it. Raises SigningConfigurationNotFound."""
        configuration = self.signing(registry)
        await self._put(registry, SIGNING, None)
        return configuration

    async def _put(self, registry: Registry, kind: str, body: bytes | None) -> None:
        if body is not None or self._documents.get(registry, kind) is not None:
            await self._documents.write([Edit(registry, kind, "", body)])
