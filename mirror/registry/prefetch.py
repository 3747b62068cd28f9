"""Prefetching: of an index just fetched, the platforms that the operator lists. What is asked for is always fetched.

One image at a time and one blob at a time for each, in the background: clients come first. A prefetch that fails is no
harm and is not tried again: the pull that needs it fetches it.
"""

import asyncio
from typing import Final

from mirror import telemetry
from mirror.oci.digest import Digest
from mirror.oci.errors import RegistryError
from mirror.oci.manifest import Descriptor, Manifest
from mirror.registry.flights import Spawn
from mirror.registry.manifests import read_manifest
from mirror.registry.pull import PullManifests
from mirror.registry.pull_blobs import PullBlobs
from mirror.registry.upstreams import Source
from mirror.upstream.throttle import Throttle

INDEXES_MAX: Final = 1_000  # indexes waiting: more are not prefetched

log = telemetry.logger("registry.prefetch")


class Prefetch:
    """Follows indexes as they are kept."""

    def __init__(self, manifests: PullManifests, blobs: PullBlobs, throttle: Throttle, spawn: Spawn) -> None:
        self._manifests = manifests
        self._blobs = blobs
        self._throttle = throttle
        self._spawn = spawn
        self._one = asyncio.Semaphore(1)
        self._waiting = 0

    def follow(self, source: Source, digest: Digest, manifest: Manifest) -> None:
        """Begin fetching what the operator wants of an index; nothing for an image, or without `platforms`."""
        wanted = [child for child in manifest.manifests if is_wanted(child.platform, source.upstream.rule.platforms)]
        if wanted and self._waiting < INDEXES_MAX:
            self._spawn(self._fetch(source, wanted), f"prefetch {source.repository}@{digest}")

    async def _fetch(self, source: Source, children: list[Descriptor]) -> None:
        self._waiting += 1
        try:
            async with self._one:
                for child in children:
                    await self._fetch_image(source, child)
        except RegistryError as error:
            log.info("prefetch failed", repository=str(source.repository), reason=error.message)
        finally:
            self._waiting -= 1

    async def _fetch_image(self, source: Source, child: Descriptor) -> None:
        pulled = await self._manifests.pull(source.repository, child.digest)
        manifest = await read_manifest(pulled.data, pulled.media_type)
        for blob in manifest.needed:
            await self._blobs.fetch(source.repository, blob.digest, self._throttle)


def is_wanted(platform: str, wanted: tuple[str, ...]) -> bool:
    """Tell whether a platform is listed, with its variant or without: `linux/arm64` wants `linux/arm64/v8` too."""
    return any(platform == one or platform.startswith(f"{one}/") for one in wanted)
