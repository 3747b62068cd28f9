"""Replicas: images that other registries replicate into ours.

Source: ECR guide, "Private image replication" and "Private registry permissions"; ECR.md 2.4. The source needs
ecr:ReplicateImage and, where the repository is not there yet, ecr:CreateRepository. A tag that is immutable and taken
stays what it is: the image arrives without it. What arrives goes no further.
"""

import time
from contextlib import suppress
from functools import partial
from typing import Final

from mirror.aws.errors import LayersNotFound
from mirror.aws.principals import Principal
from mirror.oci.digest import Digest, digest_of
from mirror.oci.errors import DigestInvalid
from mirror.oci.manifest import Manifest
from mirror.oci.names import Repository
from mirror.registry.authority import Authority, Circumstances
from mirror.registry.manifests import Manifests
from mirror.registry.repositories import Repositories
from mirror.rules.access.actions import CREATE_ACTION
from mirror.store.catalog import Catalog
from mirror.store.guard import PartsGone
from mirror.store.images import Images
from mirror.store.index import Index
from mirror.store.mutations import NamedByLists, TagTaken

REPLICATE: Final = "ecr:ReplicateImage"
READ: Final = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
DELETE: Final = "ecr:BatchDeleteImage"


class Replicas:
    """Takes in what other registries replicate here."""

    def __init__(
        self,
        index: Index,
        catalog: Catalog,
        images: Images,
        manifests: Manifests,
        repositories: Repositories,
        authority: Authority,
    ) -> None:
        self._index = index
        self._catalog = catalog
        self._images = images
        self._manifests = manifests
        self._repositories = repositories
        self._authority = authority
        self.region = authority.region

    def check(self, principal: Principal, repository: Repository, now: Circumstances) -> None:
        """Raise AccessDenied unless `principal` may replicate into `repository`, and make it where it is not there."""
        self._authority.check(principal, REPLICATE, repository, now)
        if self._index.settings(repository) is None:
            self._authority.check(principal, CREATE_ACTION, repository, now)

    def check_deletion(self, principal: Principal, repository: Repository, now: Circumstances) -> None:
        """Raise AccessDenied unless `principal` may also delete: who brings images may not take others away."""
        self._authority.check(principal, REPLICATE, repository, now)
        self._authority.check(principal, DELETE, repository, now)

    def check_reading(self, principal: Principal, repository: Repository, now: Circumstances) -> None:
        """Raise AccessDenied unless `principal` may pull here: a node that has lost bytes asks for them."""
        for action in READ:
            self._authority.check(principal, action, repository, now)

    def digest(self, repository: Repository, tag: str) -> Digest | None:
        """Return what a tag means here."""
        found = self._index.tag(repository, tag)
        return found.digest if found is not None else None

    def has(self, repository: Repository, digest: Digest) -> bool:
        """Tell whether an image is here, and can be pulled."""
        member = self._index.member(repository, digest)
        return member is not None and member.kind == "manifest" and not member.archived

    async def put(
        self, repository: Repository, digest: Digest, data: bytes, manifest: Manifest, tag: str, origin: str
    ) -> None:
        """Take in a manifest, all of whose parts are on this node's disk. `origin`: `account/region`.

        Raises DigestInvalid, LayersNotFound.
        """
        if digest_of(data, digest.algorithm) != digest:
            raise DigestInvalid(f"the manifest's bytes are not {digest}")
        await self._repositories.make(repository, "REPLICATION")
        parts = [blob.digest for blob in manifest.needed]
        keep = partial(self._manifests.keep, repository, digest, data, manifest, whole=True, parts=parts, origin=origin)
        frozen = frozenset({tag} if tag and self._repositories.freezes(repository, tag) else ())
        try:
            try:
                await keep(tags=(tag,) if tag else (), new_only=frozen)
            except TagTaken:
                await keep()
        except PartsGone as gone:
            layers = list(map(str, gone.digests))
            raise LayersNotFound(layers, self._repositories.name(repository), repository.registry) from None

    async def untag(self, repository: Repository, tag: str) -> None:
        """Take a tag away; an image that went with its last tag is asked for by its digest."""
        await self._catalog.delete_tag(repository, tag, time.time())

    async def delete(self, repository: Repository, digest: Digest) -> None:
        """Delete an image; one that a list here needs stays."""
        with suppress(NamedByLists):
            await self._images.delete(repository, digest, time.time())
