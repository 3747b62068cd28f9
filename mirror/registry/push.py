"""Pushing into repositories of our own (DESIGN walk 3): what is answered 201 survives a power cut.

Repositories that cache an upstream take no pushes: what they hold is decided elsewhere.
"""

import time
from dataclasses import dataclass

from mirror.oci.digest import Digest, digest_of
from mirror.oci.errors import (
    BlobUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestUnknown,
    Unsupported,
)
from mirror.oci.manifest import Manifest
from mirror.oci.names import Reference, Repository
from mirror.registry.manifests import Manifests, read_manifest
from mirror.store.catalog import Catalog
from mirror.store.index import Index
from mirror.store.upload import Upload
from mirror.store.uploads import Uploads


@dataclass(frozen=True, slots=True)
class PushedManifest:
    digest: Digest
    subject: Digest | None


class Push:
    """What uploads, manifest PUT and DELETE need."""

    def __init__(self, index: Index, catalog: Catalog, uploads: Uploads, manifests: Manifests) -> None:
        self._index = index
        self._catalog = catalog
        self._uploads = uploads
        self._manifests = manifests

    # Blobs.

    async def start(self, repository: Repository) -> Upload:
        """Open an upload session. Raises Unsupported for a repository of an upstream."""
        _check_owned(repository)
        return self._uploads.create(repository)

    async def find(self, repository: Repository, session: str) -> Upload:
        """Return an open session of this repository. Raises BlobUploadUnknown."""
        _check_owned(repository)
        return await self._uploads.find(repository, session)

    async def finish(self, repository: Repository, upload: Upload, digest: Digest) -> None:
        """Verify and publish an upload. Raises DigestInvalid."""
        finished = await upload.finish(digest)
        await self._catalog.link_blob(repository, digest, finished.size, "", time.time(), blob=finished)

    async def mount(self, repository: Repository, digest: Digest, source: Repository | None) -> bool:
        """Make a blob that another repository has belong to `repository` too; False when it cannot be."""
        _check_owned(repository)
        entry = self._index.blob(digest)
        if entry is None:
            return False
        if self._serves(repository, digest):
            return True
        if not await self._belongs(digest, source):
            return False
        await self._catalog.link_blob(repository, digest, entry.size, "", time.time())
        return True

    async def _belongs(self, digest: Digest, source: Repository | None) -> bool:
        if source is not None:
            return self._serves(source, digest)
        return bool(await self._catalog.blob_repositories(digest))

    def _serves(self, repository: Repository, digest: Digest) -> bool:
        """Tell whether a digest is a blob of `repository`; a manifest of it is none."""
        member = self._index.member(repository, digest)
        return member is not None and member.linked

    # Manifests.

    async def put_manifest(
        self, repository: Repository, reference: Reference, data: bytes, content_type: str, tags: tuple[str, ...] = ()
    ) -> PushedManifest:
        """Store a manifest under a tag or its digest. Raises ManifestInvalid, ManifestBlobUnknown, DigestInvalid."""
        _check_owned(repository)
        manifest = await read_manifest(data, content_type)
        algorithm = "sha256"
        if isinstance(reference, Digest):
            algorithm = reference.algorithm
            if digest_of(data, algorithm) != reference:
                raise DigestInvalid(f"the manifest's bytes are {digest_of(data, algorithm)}, not {reference}")
        else:
            tags = (reference, *tags)
        self._check_parts(repository, manifest)
        digest = await self._manifests.keep(repository, data, manifest, algorithm=algorithm, tags=tags, whole=True)
        return PushedManifest(digest, manifest.subject.digest if manifest.subject else None)

    def _check_parts(self, repository: Repository, manifest: Manifest) -> None:
        parts = (*manifest.needed, *manifest.manifests)
        missing = [
            str(part.digest)
            for part in parts
            if self._index.member(repository, part.digest) is None or self._index.blob(part.digest) is None
        ]
        if missing:
            raise ManifestBlobUnknown(
                f"the manifest names {len(missing)} blobs or manifests that {repository} does not have",
                detail=[{"digest": digest} for digest in missing[:100]],
            )

    # Deleting.

    async def delete_manifest(self, repository: Repository, reference: Reference) -> None:
        """Delete a tag, or a manifest and all its tags. Raises ManifestUnknown."""
        _check_owned(repository)
        if isinstance(reference, Digest):
            deleted = await self._catalog.delete_manifest(repository, reference, time.time())
        else:
            deleted = await self._catalog.delete_tag(repository, reference, time.time())
        if not deleted:
            raise ManifestUnknown(f"{repository} has no manifest {reference}")

    async def delete_blob(self, repository: Repository, digest: Digest) -> None:
        """Take a blob out of a repository. Raises BlobUnknown."""
        _check_owned(repository)
        if not await self._catalog.unlink_blob(repository, digest, time.time()):
            raise BlobUnknown(f"{repository} has no blob {digest}")


def _check_owned(repository: Repository) -> None:
    if not repository.owned:
        raise Unsupported(
            f"{repository.name} is cached from {repository.upstream}: it takes no pushes or deletes",
            headers={"Allow": "GET, HEAD"},
        )
