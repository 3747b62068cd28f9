"""BatchDeleteImage, of both services: tags taken away, images deleted, one after the other as they were asked for.

Source: ECR guide, "Deleting an image"; ECR.md 1.3. By tag the tag goes, and with its last tag the image; by digest the
image and all its tags. What a list of the repository needs stays until the list is gone.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from mirror.oci.digest import Digest
from mirror.registry.image_ids import ImageFailure, ImageId, find_image, not_found
from mirror.store.images import Image, Images
from mirror.store.index import Index
from mirror.store.mutations import NamedByLists
from mirror.web.aws.call import Call, Handler, Service
from mirror.web.ecr.image_ids import failed, image_id, read_image_ids
from mirror.web.ecr.single_images import find_row
from mirror.web.ecr.subjects import Subject, Subjects


class Deletion:
    """The handler of BatchDeleteImage."""

    def __init__(self, service: Service, subjects: Subjects, index: Index, images: Images) -> None:
        self._service = service
        self._subjects = subjects
        self._index = index
        self._images = images

    def handlers(self) -> Mapping[tuple[Service, str], Handler]:
        return {(self._service, "BatchDeleteImage"): self.batch_delete_image}

    async def batch_delete_image(self, call: Call) -> dict[str, Any]:
        """Delete what can be deleted; say of the rest why not."""
        subject = self._subjects.of(call)
        deleted: list[dict[str, str]] = []
        failures: list[dict[str, Any]] = []
        for asked in read_image_ids(call.input["imageIds"]):
            try:
                deleted += await self._delete(subject, asked)
            except ImageFailure as failure:
                failures.append(failed(asked, failure))
        return {"imageIds": deleted, "failures": failures}

    async def _delete(self, subject: Subject, asked: ImageId) -> list[dict[str, str]]:
        """Delete a tag or an image; return what is gone. Raises ImageFailure."""
        if asked.tag:
            find_image(self._index, subject.repository, asked)
            return await self._untag(subject, asked.tag)
        return await self._drop(subject, await find_row(self._index, self._images, subject.repository, asked))

    async def _untag(self, subject: Subject, tag: str) -> list[dict[str, str]]:
        with _kept_for_lists():
            digest = await self._images.untag(subject.repository, tag, time.time())
        if digest is None:
            not_found()
        return [image_id(digest, tag)]

    async def _drop(self, subject: Subject, image: Image) -> list[dict[str, str]]:
        with _kept_for_lists():
            if not await self._images.delete(subject.repository, image.digest, time.time()):
                not_found()
        return [image_id(image.digest, tag) for tag in image.tags or ("",)]


@contextmanager
def _kept_for_lists() -> Iterator[None]:
    """Say in ECR's words that lists need what was to be deleted."""
    try:
        yield
    except NamedByLists as named:
        raise ImageFailure("ImageReferencedByManifestList", referenced(named.lists)) from None


def referenced(lists: Sequence[Digest]) -> str:
    """Say which lists need an image."""
    return f"Requested image referenced by manifest list: [{', '.join(map(str, lists))}]"
