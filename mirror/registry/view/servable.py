"""What of an image is here: platform by platform, without asking any upstream.

Source: OCI image-spec v1.1, image-index.md and config.md ("os", "architecture"). A platform is whole when a client that
knows no other registry could pull it: its manifest is here, and each blob is here and proven to belong to the
repository.
"""

import asyncio
from typing import Any, Final

import msgspec
import orjson

from mirror.oci.digest import Digest
from mirror.oci.manifest import Manifest
from mirror.oci.names import Repository
from mirror.registry.manifests import NESTING_MAX, Manifests, read_manifest
from mirror.store.index import Index

NO_PLATFORM: Final = "unknown/unknown"  # BuildKit's attestations: nobody pulls them to run them
CONFIG_BYTES_MAX: Final = 1024 * 1024  # real ones are a few KiB


class Part(msgspec.Struct, frozen=True, rename="camel"):
    """One platform of an image, "" where nobody said which: bytes that are here, and what is missing.

    `missing_bytes` is None where not even the manifest is here, which would tell.
    """

    platform: str
    digest: str
    is_whole: bool
    bytes: int
    missing: int
    missing_bytes: int | None


class Servable:
    """Looks at images of the store."""

    def __init__(self, index: Index, manifests: Manifests) -> None:
        self._index = index
        self._manifests = manifests

    async def parts(
        self, repository: Repository, digest: Digest, platform: str = "", depth: int = NESTING_MAX
    ) -> list[Part]:
        """List the platforms of an image: those of an index, or its own."""
        await asyncio.sleep(0)  # what follows reads memory and waits for nothing: others get their turns here
        found = await self._manifests.read(repository, digest) if depth >= 0 else None
        if found is None:
            return [Part(platform, str(digest), is_whole=False, bytes=0, missing=1, missing_bytes=None)]
        member, data = found
        manifest = await read_manifest(data, member.media_type)
        if not manifest.manifests:
            return [await self._image(repository, digest, manifest, len(data), platform)]
        parts: list[Part] = []
        for child in manifest.manifests:
            if child.platform != NO_PLATFORM:
                parts += await self.parts(repository, child.digest, child.platform or platform, depth - 1)
        return parts

    async def _image(
        self, repository: Repository, digest: Digest, manifest: Manifest, size: int, platform: str
    ) -> Part:
        blobs = {blob.digest: blob.size for blob in manifest.needed}
        missing = [blob for blob in blobs if not self._index.serves(repository, blob)]
        missing_bytes = sum(blobs[blob] for blob in missing)
        if not platform and manifest.blobs and manifest.blobs[0].digest not in missing:
            platform = await self._platform(manifest.blobs[0].digest)
        return Part(
            platform,
            str(digest),
            is_whole=not missing,
            bytes=size + sum(blobs.values()) - missing_bytes,
            missing=len(missing),
            missing_bytes=missing_bytes,
        )

    async def _platform(self, config: Digest) -> str:
        """Read the platform in an image's config; "" where the first blob is none."""
        entry = self._index.blob(config)
        if entry is None or entry.size > CONFIG_BYTES_MAX:
            return ""
        data = await self._manifests.read_bytes(config)
        try:
            said: Any = orjson.loads(data or b"")
        except orjson.JSONDecodeError:
            return ""
        parts = [said.get(key) for key in ("os", "architecture", "variant")] if isinstance(said, dict) else []
        return "/".join(part for part in parts if isinstance(part, str) and part)
