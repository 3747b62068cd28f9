"""Pushing into repositories of our own (DESIGN walk 3): what is answered 201 survives a power cut.

Repositories that cache an upstream take no pushes: what they hold is decided elsewhere.
"""

import time
from dataclasses import dataclass

from mirror import telemetry
from mirror.aws.errors import ImageTagAlreadyExists, LayersNotFound, ReferencedImagesNotFound
from mirror.oci.digest import Digest, digest_of
from mirror.oci.errors import (
    BlobUnknown,
    BlobUploadUnknown,
    DigestInvalid,
    ManifestUnknown,
    Unsupported,
)
from mirror.oci.manifest import Manifest
from mirror.oci.names import Reference, Registry, Repository
from mirror.registry.account_settings import BLOB_MOUNTING, AccountSettings
from mirror.registry.manifests import Manifests, read_manifest
from mirror.registry.quotas import Quotas
from mirror.registry.repositories import Repositories
from mirror.store.catalog import Catalog
from mirror.store.documents import Documents
from mirror.store.guard import Guard, PartsGone
from mirror.store.index import Index
from mirror.store.mutations import TagTaken
from mirror.store.upload import Upload
from mirror.store.uploads import Uploads


@dataclass(frozen=True, slots=True)
class PushedManifest:
    digest: Digest
    subject: Digest | None


class Push:
    """What uploads, manifest PUT and DELETE need."""

    def __init__(  # noqa: PLR0913 - all that a push touches
        self,
        index: Index,
        catalog: Catalog,
        uploads: Uploads,
        manifests: Manifests,
        repositories: Repositories,
        documents: Documents,
        guard: Guard,
        quotas: Quotas,
        *,
        create_on_push: bool,
    ) -> None:
        self._repositories = repositories
        self._account_settings = AccountSettings(documents)
        self._create_on_push = create_on_push
        self.guard = guard
        self._quotas = quotas
        self._index = index
        self._catalog = catalog
        self._uploads = uploads
        self._manifests = manifests

    def makes(self, repository: Repository) -> bool:
        """Tell whether a push makes a repository that is not there (ECR.md 2.6: a template for it, or the setting)."""
        if not repository.owned or repository.registry.public:
            return False
        return self._create_on_push or self._repositories.template(repository, "CREATE_ON_PUSH") is not None

    def mounts(self, registry: Registry) -> bool:
        """Tell whether a registry lets blobs be mounted; its account may have said no."""
        return self._account_settings.get(registry, BLOB_MOUNTING) != "DISABLED"

    # Blobs.

    async def start(self, repository: Repository) -> Upload:
        """Open an upload session. Raises Unsupported for a repository of an upstream."""
        self._check_owned(repository)
        return self._uploads.create(repository)

    async def take_room(self, size: int) -> None:
        """Count on room for an upload's next `size` bytes, 0 where nobody says how many. Raises StorageFull."""
        await self._uploads.space.take(size)

    async def find(self, repository: Repository, session: str) -> Upload:
        """Return an open session of this repository. Raises BlobUploadUnknown, also where it was deleted meanwhile."""
        self._check_owned(repository)
        if self._index.settings(repository) is None and not self.makes(repository):
            raise BlobUploadUnknown("no such upload session in this repository")
        return await self._uploads.find(repository, session)

    async def finish(self, repository: Repository, upload: Upload, digest: Digest) -> None:
        """Verify and publish an upload. Raises DigestInvalid."""
        with telemetry.span("push finish", repository=repository, digest=digest):
            await self._finish(repository, upload, digest)

    async def _finish(self, repository: Repository, upload: Upload, digest: Digest) -> None:
        async with self.guard.hold(digest):
            finished = await upload.finish(digest)
            await self._repositories.make(repository, "CREATE_ON_PUSH")
            self.guard.note(digest.key())
            await self._catalog.link_blob(repository, digest, finished.size, "", time.time(), blob=finished)

    async def mount(self, repository: Repository, digest: Digest, source: Repository) -> bool:
        """Make a blob that `source` has belong to `repository` too; False when it cannot be."""
        self._check_owned(repository)
        await self.guard.free(digest)
        entry = self._index.blob(digest)
        if entry is None or not self._serves(source, digest):
            return False
        self.guard.note(digest.key())
        if source != repository and not self._serves(repository, digest):
            await self._repositories.make(repository, "CREATE_ON_PUSH")
            try:
                await self._catalog.link_blob(repository, digest, entry.size, "", time.time(), must_be_here=True)
            except PartsGone:
                return False
        return True

    async def sources(self, repository: Repository, digest: Digest) -> list[Repository]:
        """List the repositories of the same registry that a blob could be mounted from."""
        return await self._catalog.blob_repositories(repository.registry, digest)

    def _serves(self, repository: Repository, digest: Digest) -> bool:
        """Tell whether a digest is a blob of `repository`; a manifest of it is none."""
        member = self._index.member(repository, digest)
        return member is not None and member.linked and member.proven

    # Manifests.

    async def put_manifest(
        self, repository: Repository, reference: Reference, data: bytes, content_type: str, tags: tuple[str, ...] = ()
    ) -> PushedManifest:
        """Store a manifest under a tag or its digest. Raises ManifestInvalid, DigestInvalid, and as `keep_manifest`."""
        self._check_owned(repository)
        manifest = await read_manifest(data, content_type)
        digest = digest_of(data, reference.algorithm if isinstance(reference, Digest) else "sha256")
        if not isinstance(reference, Digest):
            tags = (reference, *tags)
        elif digest != reference:
            raise DigestInvalid(f"the manifest's bytes are {digest}, not {reference}")
        return await self.keep_manifest(repository, digest, data, manifest, tags)

    async def keep_manifest(
        self, repository: Repository, digest: Digest, data: bytes, manifest: Manifest, tags: tuple[str, ...]
    ) -> PushedManifest:
        """Store a manifest, whose digest the caller has checked, and its tags.

        Raises Unsupported, LayersNotFound, ReferencedImagesNotFound, ImageTagAlreadyExists, QuotaExceeded.
        """
        self._check_owned(repository)
        self.check_parts(repository, manifest)
        with telemetry.span("push finish", repository=repository, digest=digest, tags=len(tags)):
            async with self._quotas.admit(repository, self._repositories.name(repository), digest, manifest):
                await self._keep(repository, digest, data, manifest, tags)
        return PushedManifest(digest, manifest.subject.digest if manifest.subject else None)

    async def _keep(
        self, repository: Repository, digest: Digest, data: bytes, manifest: Manifest, tags: tuple[str, ...]
    ) -> None:
        await self._repositories.make(repository, "CREATE_ON_PUSH")
        frozen = frozenset(tag for tag in tags if self._repositories.freezes(repository, tag))
        try:
            await self._manifests.keep(
                repository, digest, data, manifest, tags=tags, whole=True, new_only=frozen, parts=_parts(manifest)
            )
        except PartsGone as gone:
            raise LayersNotFound(
                list(map(str, gone.digests)), self._repositories.name(repository), repository.registry
            ) from None
        except TagTaken as taken:
            raise ImageTagAlreadyExists(taken.tag, self._repositories.name(repository)) from None

    def check_parts(self, repository: Repository, manifest: Manifest) -> None:
        """Raise LayersNotFound, ReferencedImagesNotFound unless the repository itself has all that is named."""
        name = self._repositories.name(repository)
        serves = self._index.serves
        layers = [str(blob.digest) for blob in manifest.needed if not serves(repository, blob.digest)]
        if layers:
            raise LayersNotFound(layers, name, repository.registry)
        images = [str(child.digest) for child in manifest.manifests if not self._has_manifest(repository, child.digest)]
        if images:
            raise ReferencedImagesNotFound(images, name, repository.registry)

    def _has_manifest(self, repository: Repository, digest: Digest) -> bool:
        """Tell whether a child is here; an archived one is, and one that was pushed as a blob counts as well."""
        return self._index.member(repository, digest) is not None and self._index.blob(digest) is not None

    # Deleting.

    async def delete_manifest(self, repository: Repository, reference: Reference) -> None:
        """Delete a tag, or a manifest and all its tags. Raises ManifestUnknown."""
        self._check_owned(repository)
        if isinstance(reference, Digest):
            deleted = await self._catalog.delete_manifest(repository, reference, time.time())
        else:
            deleted = await self._catalog.delete_tag(repository, reference, time.time())
        if not deleted:
            raise ManifestUnknown(f"{repository} has no manifest {reference}")

    async def delete_blob(self, repository: Repository, digest: Digest) -> None:
        """Take a blob out of a repository. Raises BlobUnknown."""
        self._check_owned(repository)
        if not await self._catalog.unlink_blob(repository, digest, time.time()):
            raise BlobUnknown(f"{repository} has no blob {digest}")

    def _check_owned(self, repository: Repository) -> None:
        if not repository.owned:
            name = self._repositories.name(repository)
            raise Unsupported(
                f"{name} is cached from {repository.upstream}: it takes no pushes or deletes",
                headers={"Allow": "GET, HEAD"},
            )


def _parts(manifest: Manifest) -> list[Digest]:
    return [part.digest for part in (*manifest.needed, *manifest.manifests)]
