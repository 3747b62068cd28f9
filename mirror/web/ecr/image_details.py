"""DescribeImages, of both services: what is known of images.

Source: ECR API reference, ImageDetail; ECR.md 1.3 and 5 item 19. An image that is asked for by its id is described
whatever its status, unless the filter names one; a list without ids leaves out what is archived.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mirror.aws.errors import constraint
from mirror.oci.digest import Digest
from mirror.registry.image_ids import ImageFailure, ImageId, find_image
from mirror.store.images import Image, Images
from mirror.store.index import Index
from mirror.web.aws.call import Call, Handler, Service
from mirror.web.ecr.image_ids import read_image_ids
from mirror.web.ecr.listings import TAGGED, read_status
from mirror.web.ecr.paging import make_token, page_size, read_text, read_token
from mirror.web.ecr.single_images import unknown
from mirror.web.ecr.subjects import Subject, Subjects


class ImageDetails:
    """The handler of DescribeImages."""

    def __init__(self, service: Service, subjects: Subjects, index: Index, images: Images) -> None:
        self._service = service
        self._subjects = subjects
        self._index = index
        self._images = images

    def handlers(self) -> Mapping[tuple[Service, str], Handler]:
        return {(self._service, "DescribeImages"): self.describe_images}

    async def describe_images(self, call: Call) -> dict[str, Any]:
        """Describe the images that are asked for, or all that the filter lets through, by digest."""
        subject = self._subjects.of(call)
        if "imageIds" in call.input:
            found = await self._asked(subject, read_image_ids(call.input["imageIds"]))
            wanted = call.input.get("filter", {})
            return {"imageDetails": [self._detail(subject, image) for image in found if _passes(image, wanted)]}
        found, after = await self._page(subject, call)
        details = [self._detail(subject, image) for image in found]
        return {"imageDetails": details, "nextToken": make_token(call, [after]) if after else None}

    async def _asked(self, subject: Subject, asked: Sequence[ImageId]) -> list[Image]:
        digests = [(self._digest(subject, one), one) for one in asked]
        found = await self._images.find(subject.repository, [digest for digest, _ in digests])
        for digest, one in digests:
            if digest not in found:
                raise unknown(subject, one)
        return list(found.values())

    def _digest(self, subject: Subject, asked: ImageId) -> Digest:
        try:
            return find_image(self._index, subject.repository, asked)
        except ImageFailure as failure:
            if failure.code in ("MissingDigestAndTag", "InvalidImageDigest"):
                raise constraint("imageIds", failure.reason) from None
            raise unknown(subject, asked) from None

    async def _page(self, subject: Subject, call: Call) -> tuple[list[Image], str]:
        """Return a page of images and, unless it is the last one, the digest after which the next begins."""
        wanted = call.input.get("filter", {})
        status, limit = read_status(wanted), page_size(call)
        if status == "ACTIVATING":
            return [], ""
        found = await self._images.page(
            subject.repository,
            after=read_text(read_token(call)),
            limit=limit + 1,
            status=status,
            tagged=TAGGED[wanted.get("tagStatus", "ANY")],
        )
        return found[:limit], str(found[limit - 1].digest) if len(found) > limit else ""

    def _detail(self, subject: Subject, image: Image) -> dict[str, Any]:
        detail = {**subject.shape, "imageTags": list(image.tags) or None, **described(image)}
        if self._service == "ecr":
            detail |= {
                "lastRecordedPullTime": image.pulled_at,
                "subjectManifestDigest": image.subject,
                "imageStatus": image.status,
                "lastArchivedAt": image.archived_at,
                "lastActivatedAt": image.activated_at,
            }
        return detail


def described(image: Image) -> dict[str, Any]:
    """Write what every description of an image has."""
    return {
        "imageDigest": str(image.digest),
        "imageSizeInBytes": image.image_size,
        "imagePushedAt": image.pushed_at,
        "imageManifestMediaType": image.media_type,
        "artifactMediaType": image.artifact_type or None,
    }


def _passes(image: Image, wanted: Mapping[str, Any]) -> bool:
    tagged = TAGGED[wanted.get("tagStatus", "ANY")]
    right_status = wanted.get("imageStatus", "ANY") in ("ANY", image.status)
    return right_status and tagged in (None, bool(image.tags))
