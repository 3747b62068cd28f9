"""Scans of images, on a node without a scanner: asked for, refused for good reasons, else failed and remembered.

Source: ECR guide, "Scan images for software vulnerabilities"; ECR.md 2.8: a node without a scanner says FAILED rather
than invent findings. The state of a scan is a document of its repository and goes with it.
"""

import time
from typing import Final, Literal

import msgspec

from mirror.aws.errors import (
    ImageArchived,
    LimitExceeded,
    RepositoryNotFound,
    ScanNotFound,
    UnsupportedImageType,
    ValidationFailed,
)
from mirror.oci.digest import Digest
from mirror.oci.names import Repository
from mirror.registry.configurations import Configurations
from mirror.registry.repositories import Repositories
from mirror.rules.scanning import ScanFilter, ScanType, applied_filters, frequency, scans_on_demand
from mirror.store.catalog import Catalog
from mirror.store.images import Image
from mirror.store.mutations import SCAN_KIND

NO_SCANNER: Final = "The scan failed: no scanner is configured on this node."
AGAIN_S: Final = 86_400.0  # ECR quota: an image is scanned once in 24 hours
# What a scanner could look into: the configurations of images.
IMAGE_TYPES: Final = frozenset(
    {"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"}
)


class Scan(msgspec.Struct, frozen=True):
    """The last scan of an image, by the way of scanning that its registry had then. `at` in unix seconds."""

    status: Literal["FAILED", "COMPLETE"]
    description: str
    at: float
    scan_type: ScanType = "BASIC"


class Scans:
    """The scans of all repositories."""

    def __init__(self, catalog: Catalog, repositories: Repositories, configurations: Configurations) -> None:
        self._catalog = catalog
        self._repositories = repositories
        self._configurations = configurations

    async def start(self, repository: Repository, image: Image) -> Scan:
        """Scan an image, as far as this node can.

        Raises ImageArchived, UnsupportedImageType, LimitExceeded, ValidationFailed, RepositoryNotFound.
        """
        if image.status == "ARCHIVED":
            raise ImageArchived(f"The image with digest '{image.digest}' is archived")
        if image.artifact_type not in IMAGE_TYPES:
            raise UnsupportedImageType(f"Images of type '{image.artifact_type or image.media_type}' are not scanned")
        configuration = self._configurations.scanning(repository.registry)
        if not scans_on_demand(configuration):
            raise ValidationFailed("The registry has scanType ENHANCED, which scans by its rules alone")
        last = await self._find(repository, image.digest)
        if last is not None and last.status == "COMPLETE" and time.time() - last.at < AGAIN_S:
            raise LimitExceeded("The scan quota per image has been exceeded. Wait and try again.")
        scan = Scan("FAILED", NO_SCANNER, time.time(), configuration.scan_type)
        body = msgspec.json.encode(scan).decode()
        if not await self._catalog.put_document(repository, _kind(image.digest), body, scan.at):
            raise RepositoryNotFound(self._repositories.name(repository), repository.registry)
        return scan

    async def get(self, repository: Repository, digest: Digest, asked: str) -> Scan:
        """Return the last scan of an image; `asked` is its id as ECR prints it. Raises ScanNotFound."""
        scan = await self._find(repository, digest)
        # ECR guide: another type of scanning hides the scans of the one before, and shows them again when it is back.
        if scan is None or scan.scan_type != self._configurations.scanning(repository.registry).scan_type:
            raise ScanNotFound(
                f"Image scan does not exist for the image with '{asked}' in the repository with name "
                f"'{self._repositories.name(repository)}' in the registry with id '{repository.registry.account}'"
            )
        return scan

    def plan(self, repository: Repository) -> tuple[str, list[ScanFilter]]:
        """Say when images of a repository would be scanned, by which filters; its own wish counts beside BASIC."""
        configuration = self._configurations.scanning(repository.registry)
        name = self._repositories.name(repository)
        found = frequency(configuration, name)
        own = self._repositories.settings(repository).scan_on_push
        if found == "MANUAL" and own and scans_on_demand(configuration):
            return "SCAN_ON_PUSH", []
        return found, applied_filters(configuration, name) if found != "MANUAL" else []

    async def _find(self, repository: Repository, digest: Digest) -> Scan | None:
        text = await self._catalog.document(repository, _kind(digest))
        return None if text is None else msgspec.json.decode(text, type=Scan)


def _kind(digest: Digest) -> str:
    return f"{SCAN_KIND}{digest}"
