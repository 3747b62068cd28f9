"""UpdateImageStorageClass: images put into the archive, and out of it.

Source: ECR guide, "Archiving an image"; ECR.md 2.9. An archived image is kept and not served. A restore takes no time,
also where `[storage] archive_root` has its bytes: they are served from there until they are back. Its answer is
ACTIVATING all the same, which clients wait on, and the next description says ACTIVE. Not archived are the parts of a
list (the list would be broken) and what a repository caches (the next pull would bring it back).
"""

import time
from collections.abc import Mapping
from typing import Any, Final

from mirror.aws.errors import ImageStorageClassUpdateNotSupported, ValidationFailed
from mirror.registry.image_ids import ImageFailure, ImageId
from mirror.store.images import Image, Images, Status
from mirror.store.index import Index
from mirror.web.aws.call import Call, Handler, Service
from mirror.web.ecr.deletion import referenced
from mirror.web.ecr.image_ids import image_id, read_image_id
from mirror.web.ecr.single_images import find_row, unknown
from mirror.web.ecr.subjects import Subject, Subjects

_STATUSES: Final[Mapping[str, Status]] = {"ARCHIVE": "ARCHIVED", "STANDARD": "ACTIVE"}


class StorageClass:
    """The handler of UpdateImageStorageClass."""

    def __init__(self, subjects: Subjects, index: Index, images: Images) -> None:
        self._subjects = subjects
        self._index = index
        self._images = images

    def handlers(self) -> Mapping[tuple[Service, str], Handler]:
        return {("ecr", "UpdateImageStorageClass"): self.update_image_storage_class}

    async def update_image_storage_class(self, call: Call) -> dict[str, Any]:
        """Archive or restore an image."""
        subject, asked = self._subjects.of(call), read_image_id(call.input["imageId"])
        image = await self._image(subject, asked)
        status = _STATUSES[call.input["targetStorageClass"]]
        await self._check(subject, image, status)
        if not await self._images.set_status(subject.repository, image.digest, status, time.time()):
            raise unknown(subject, asked)
        return {
            **subject.shape,
            "imageId": image_id(image.digest, asked.tag),
            "imageStatus": "ARCHIVED" if status == "ARCHIVED" else "ACTIVATING",
        }

    async def _image(self, subject: Subject, asked: ImageId) -> Image:
        try:
            return await find_row(self._index, self._images, subject.repository, asked)
        except ImageFailure as failure:
            if failure.code in ("MissingDigestAndTag", "InvalidImageDigest", "InvalidImageTag"):
                raise ValidationFailed(failure.reason) from None
            raise unknown(subject, asked) from None

    async def _check(self, subject: Subject, image: Image, status: Status) -> None:
        if image.status == status:
            raise ImageStorageClassUpdateNotSupported(
                f"The image with digest '{image.digest}' is in the requested storage class already"
            )
        if status == "ACTIVE":
            return
        if not subject.repository.owned:
            raise ImageStorageClassUpdateNotSupported("Images of a pull through cache repository cannot be archived")
        lists = await self._images.lists_of(subject.repository, image.digest)
        if lists:
            raise ImageStorageClassUpdateNotSupported(referenced(lists))
