"""Signing by the API: who would sign what. Source: ECR API reference; ECR.md 2.9. No signer runs on this node."""

from collections.abc import Mapping
from typing import Any

import msgspec

from mirror.registry.configurations import Configurations, SigningConfiguration
from mirror.web.aws.call import Call, Handler, Service
from mirror.web.ecr.scope import registry_of
from mirror.web.ecr.single_images import SingleImages


class Signing:
    """The handlers of the four operations on signing."""

    def __init__(self, images: SingleImages, configurations: Configurations) -> None:
        self._images = images
        self._configurations = configurations

    def handlers(self) -> Mapping[tuple[Service, str], Handler]:
        return {
            ("ecr", "PutSigningConfiguration"): self.put_signing_configuration,
            ("ecr", "GetSigningConfiguration"): self.get_signing_configuration,
            ("ecr", "DeleteSigningConfiguration"): self.delete_signing_configuration,
            ("ecr", "DescribeImageSigningStatus"): self.describe_image_signing_status,
        }

    async def put_signing_configuration(self, call: Call) -> dict[str, Any]:
        """Say who signs, in place of what was said before."""
        found = msgspec.convert(call.input["signingConfiguration"], SigningConfiguration)
        await self._configurations.put_signing(registry_of(call), found)
        return {"signingConfiguration": msgspec.to_builtins(found)}

    async def get_signing_configuration(self, call: Call) -> dict[str, Any]:
        """Tell who signs."""
        registry = registry_of(call)
        found = self._configurations.signing(registry)
        return {"registryId": registry.account, "signingConfiguration": msgspec.to_builtins(found)}

    async def delete_signing_configuration(self, call: Call) -> dict[str, Any]:
        """Forget who signs, and tell it one last time."""
        registry = registry_of(call)
        found = await self._configurations.delete_signing(registry)
        return {"registryId": registry.account, "signingConfiguration": msgspec.to_builtins(found)}

    async def describe_image_signing_status(self, call: Call) -> dict[str, Any]:
        """Tell who has signed an image for us: nobody."""
        one = await self._images.of(call)
        return {**one.subject.shape, "imageId": one.shape, "signingStatuses": []}
