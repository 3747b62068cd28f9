"""Scanning by the API: its configuration, scans that are asked for, and their findings.

Source: ECR API reference; ECR.md 2.8. There are never findings that no scanner has found.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from mirror.aws.errors import RepositoryNotFound
from mirror.oci.names import Repository
from mirror.registry.configurations import Configurations
from mirror.registry.repositories import Repositories
from mirror.registry.scans import Scan, Scans
from mirror.rules.scanning import ScanningConfiguration
from mirror.web.aws.call import Call, Handler, Service
from mirror.web.ecr.paging import read_token
from mirror.web.ecr.scope import registry_of
from mirror.web.ecr.shapes import Shapes
from mirror.web.ecr.single_images import SingleImages


class Scanning:
    """The handlers of the five operations on scans."""

    def __init__(
        self,
        images: SingleImages,
        repositories: Repositories,
        configurations: Configurations,
        scans: Scans,
        shapes: Shapes,
    ) -> None:
        self._images = images
        self._repositories = repositories
        self._configurations = configurations
        self._scans = scans
        self._shapes = shapes

    def handlers(self) -> Mapping[tuple[Service, str], Handler]:
        return {
            ("ecr", "PutRegistryScanningConfiguration"): self.put_registry_scanning_configuration,
            ("ecr", "GetRegistryScanningConfiguration"): self.get_registry_scanning_configuration,
            ("ecr", "BatchGetRepositoryScanningConfiguration"): self.batch_get_repository_scanning_configuration,
            ("ecr", "StartImageScan"): self.start_image_scan,
            ("ecr", "DescribeImageScanFindings"): self.describe_image_scan_findings,
        }

    async def put_registry_scanning_configuration(self, call: Call) -> dict[str, Any]:
        """Say how the registry scans, in place of all that was said before."""
        given = {"scanType": call.input.get("scanType", "BASIC"), "rules": call.input.get("rules", [])}
        found = msgspec.convert(given, ScanningConfiguration)
        await self._configurations.put_scanning(registry_of(call), found)
        return {"registryScanningConfiguration": msgspec.to_builtins(found)}

    async def get_registry_scanning_configuration(self, call: Call) -> dict[str, Any]:
        """Tell how the registry scans."""
        registry = registry_of(call)
        found = self._configurations.scanning(registry)
        return {"registryId": registry.account, "scanningConfiguration": msgspec.to_builtins(found)}

    async def batch_get_repository_scanning_configuration(self, call: Call) -> dict[str, Any]:
        """Tell of each repository when its images are scanned."""
        registry = registry_of(call)
        found, failures = [], []
        for name in dict.fromkeys(call.input["repositoryNames"]):
            repository = self._repositories.find(registry, name)
            if repository is None:
                reason = RepositoryNotFound(name, registry).message
                failures.append(
                    {"repositoryName": name, "failureCode": "REPOSITORY_NOT_FOUND", "failureReason": reason}
                )
            else:
                found.append(self._plan(repository, name))
        return {"scanningConfigurations": found, "failures": failures}

    async def start_image_scan(self, call: Call) -> dict[str, Any]:
        """Scan an image: without a scanner it has failed by the time of the answer."""
        one = await self._images.of(call)
        scan = await self._scans.start(one.subject.repository, one.image)
        return {**one.subject.shape, "imageId": one.shape, "imageScanStatus": _status(scan)}

    async def describe_image_scan_findings(self, call: Call) -> dict[str, Any]:
        """Tell what became of the last scan."""
        read_token(call)
        one = await self._images.of(call)
        scan = await self._scans.get(one.subject.repository, one.image.digest, one.printed)
        return {**one.subject.shape, "imageId": one.shape, "imageScanStatus": _status(scan)}

    def _plan(self, repository: Repository, name: str) -> dict[str, Any]:
        frequency, filters = self._scans.plan(repository)
        return {
            "repositoryArn": self._shapes.arn(repository),
            "repositoryName": name,
            "scanOnPush": frequency != "MANUAL",
            "scanFrequency": frequency,
            "appliedScanFilters": [msgspec.to_builtins(one) for one in filters],
        }


def _status(scan: Scan) -> dict[str, str]:
    return {"status": scan.status, "description": scan.description}
