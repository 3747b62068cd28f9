"""Public registries by the API: DescribeRegistries, and what a registry calls itself.

Source: ECR Public API reference; ECR.md 2.10. An account without a public repository has no registry yet.
"""

from collections.abc import Mapping
from typing import Any

from mirror.oci.names import Registry
from mirror.registry.gallery import Gallery
from mirror.registry.public_registries import PublicRegistries
from mirror.web.aws.call import Call, Handler, Service
from mirror.web.ecr.paging import read_token
from mirror.web.ecr_public.shapes import Shapes


class RegistryCards:
    """The handlers of the three operations on the caller's own registry."""

    def __init__(self, registries: PublicRegistries, gallery: Gallery, shapes: Shapes) -> None:
        self._registries = registries
        self._gallery = gallery
        self._shapes = shapes

    def handlers(self) -> Mapping[tuple[Service, str], Handler]:
        return {
            ("ecr-public", "DescribeRegistries"): self.describe_registries,
            ("ecr-public", "GetRegistryCatalogData"): self.get_registry_catalog_data,
            ("ecr-public", "PutRegistryCatalogData"): self.put_registry_catalog_data,
        }

    async def describe_registries(self, call: Call) -> dict[str, Any]:
        """Describe the caller's registry: one page always."""
        read_token(call)
        registry = _own(call)
        there = self._registries.alias(registry) is not None
        return {"registries": [self._shapes.registry(registry)] if there else []}

    async def get_registry_catalog_data(self, call: Call) -> dict[str, Any]:
        """Tell how the registry calls itself."""
        return {"registryCatalogData": {"displayName": self._gallery.display_name(_own(call)) or None}}

    async def put_registry_catalog_data(self, call: Call) -> dict[str, Any]:
        """Set how the registry calls itself, where that is given."""
        if "displayName" in call.input:
            await self._gallery.set_display_name(_own(call), call.input["displayName"])
        return await self.get_registry_catalog_data(call)


def _own(call: Call) -> Registry:
    return Registry(call.principal.account, public=True)
