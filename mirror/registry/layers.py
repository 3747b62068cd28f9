"""Layers by the AWS API: uploads that come in numbered bytes, and what a repository has.

Source: ECR API reference, UploadLayerPart and CompleteLayerUpload; ECR.md 1.3, "Layer upload, JSON API". The sessions
are those of docker pushes: the same files, hashed as the bytes come, and finished without reading them again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NoReturn
from uuid import UUID

from mirror.aws.errors import (
    EmptyUpload,
    InvalidLayer,
    InvalidLayerPart,
    LayerAlreadyExists,
    LayerPartTooSmall,
    LimitExceeded,
    UploadNotFound,
)
from mirror.oci.digest import Digest
from mirror.oci.errors import BlobUploadBusy, BlobUploadUnknown, DigestInvalid
from mirror.oci.names import Repository
from mirror.registry.push import Push
from mirror.store.images import Images
from mirror.store.index import Index
from mirror.store.upload import Upload

PART_BYTES: Final = 10 * 1024 * 1024  # ECR: what clients are told to send
PART_BYTES_MIN: Final = 5 * 1024 * 1024  # ECR quota: of every part but the last
_QUOTAS: Final = (4_200, 52_000 * 1024**2)  # ECR quotas: parts, and bytes, of a layer
_PUBLIC_QUOTAS: Final = (1_000, 10_000 * 1024**2)


@dataclass(frozen=True, slots=True)
class Layer:
    """A blob that a repository has: `size` in bytes; `media_type` as an image names it, "" where none does.

    `archived`: all images that name it are.
    """

    digest: Digest
    size: int
    media_type: str
    archived: bool


@dataclass(frozen=True, slots=True)
class Session:
    """An upload as its client knows it: its id, and the name of its repository."""

    repository: Repository
    name: str
    upload_id: str

    @property
    def said(self) -> str:
        return (
            f"upload with id '{self.upload_id}' in the repository with name '{self.name}' in the registry with id "
            f"'{self.repository.registry.account}'"
        )


class Layers:
    """The layers of all repositories."""

    def __init__(self, index: Index, images: Images, push: Push) -> None:
        self._index = index
        self._images = images
        self._push = push

    async def find_all(self, repository: Repository, digests: Sequence[Digest]) -> dict[Digest, Layer]:
        """Return those layers that `repository` itself has; what others have is nobody's business here."""
        index = self._index
        for digest in digests:
            await self._push.guard.free(digest)
            if index.serves(repository, digest):
                self._push.guard.note(digest.key())
        entries = {digest: index.blob(digest) for digest in digests if index.serves(repository, digest)}
        named = await self._images.named_by_images(repository, list(entries))
        found: dict[Digest, Layer] = {}
        for digest, entry in entries.items():
            if entry is not None:
                media_type, status = named.get(digest, ("", "ACTIVE"))
                found[digest] = Layer(digest, entry.size, media_type, status == "ARCHIVED")
        return found

    # Uploads.

    async def start(self, repository: Repository) -> str:
        """Open an upload; return its id. Raises Unsupported for a repository of an upstream."""
        return str(UUID(hex=(await self._push.start(repository)).session))

    async def put_part(self, session: Session, first: int, last: int, part: bytes) -> None:
        """Add the bytes `first` to `last`, both included.

        Raises UploadNotFound, InvalidLayerPart, LimitExceeded, StorageFull.
        """
        upload = await self._find(session)
        parts_max, layer_max = _PUBLIC_QUOTAS if session.repository.registry.public else _QUOTAS
        if upload.parts.count >= parts_max or upload.offset + len(part) > layer_max:
            most = f"{parts_max} parts and {layer_max // 1024**2} MiB"
            raise LimitExceeded(f"A layer has at most {most}: the {session.said} would have more")
        if not part or first != upload.offset or last - first + 1 != len(part):
            _refuse_part(session, upload)
        await self._push.take_room(len(part))
        try:
            await upload.append_part(part)
        except BlobUploadBusy:
            _refuse_part(session, upload)

    async def complete(self, session: Session, digest: Digest) -> None:
        """Make an upload a layer. Raises UploadNotFound, EmptyUpload, LayerPartTooSmall, InvalidLayer.

        Raises LayerAlreadyExists when the repository has these very bytes: the upload is over all the same.
        """
        upload = await self._find(session)
        if not upload.offset:
            raise EmptyUpload(f"There are no layer parts in the {session.said}")
        if 0 < upload.parts.smallest < PART_BYTES_MIN:
            raise LayerPartTooSmall(
                f"A layer part of {upload.parts.smallest} bytes in the {session.said} is smaller than the minimum of "
                f"{PART_BYTES_MIN} bytes"
            )
        existed = self._index.serves(session.repository, digest)
        try:
            await self._push.finish(session.repository, upload, digest)
        except DigestInvalid:
            raise InvalidLayer(
                f"The layer digest '{digest}' does not match the digest of the bytes of the {session.said}"
            ) from None
        except BlobUploadBusy:
            raise InvalidLayer(f"A layer part is still being received for the {session.said}") from None
        if existed:
            raise LayerAlreadyExists(
                f"The layer with digest '{digest}' already exists in the repository with name '{session.name}' in the "
                f"registry with id '{session.repository.registry.account}'"
            )

    async def _find(self, session: Session) -> Upload:
        try:
            return await self._push.find(session.repository, UUID(session.upload_id).hex)
        except (BlobUploadUnknown, ValueError):
            raise UploadNotFound(session.upload_id, session.name, session.repository.registry) from None


def _refuse_part(session: Session, upload: Upload) -> NoReturn:
    detail = {
        "registryId": session.repository.registry.account,
        "repositoryName": session.name,
        "uploadId": session.upload_id,
        "lastValidByteReceived": upload.offset - 1 if upload.offset else None,
    }
    raise InvalidLayerPart(f"Invalid layer part upload for {session.said}", detail=detail)
