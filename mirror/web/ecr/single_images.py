"""One image, for the operations that are about one: found by its id, archived or not.

Source: ECR.md 1.3: an unknown image is ImageNotFoundException, an id that names nothing a bad parameter.
"""

from dataclasses import dataclass

from mirror.aws.errors import ImageNotFound, constraint, image_id
from mirror.oci.names import Repository
from mirror.registry.image_ids import ImageFailure, ImageId, find_image, not_found
from mirror.store.images import Image, Images
from mirror.store.index import Index
from mirror.web.aws.call import Call
from mirror.web.ecr.image_ids import image_id as shaped
from mirror.web.ecr.image_ids import read_image_id
from mirror.web.ecr.subjects import Subject, Subjects


@dataclass(frozen=True, slots=True)
class SingleImage:
    """An image and what it was asked for by."""

    subject: Subject
    asked: ImageId
    image: Image

    @property
    def shape(self) -> dict[str, str]:
        """The ImageIdentifier: the digest, and the tag where one was given."""
        return shaped(self.image.digest, self.asked.tag)

    @property
    def printed(self) -> str:
        """The id as it was given, printed as ECR does."""
        return image_id(self.asked.digest, self.asked.tag)


class SingleImages:
    """Finds the images of calls."""

    def __init__(self, subjects: Subjects, index: Index, images: Images) -> None:
        self._subjects = subjects
        self._index = index
        self._images = images

    async def of(self, call: Call) -> SingleImage:
        """Return the image that a call names. Raises RepositoryNotFound, ImageNotFound, InvalidParameter."""
        subject, asked = self._subjects.of(call), read_image_id(call.input["imageId"])
        try:
            image = await find_row(self._index, self._images, subject.repository, asked)
        except ImageFailure as failure:
            if failure.code in ("MissingDigestAndTag", "InvalidImageDigest"):
                raise constraint("imageId", failure.reason) from None
            raise unknown(subject, asked) from None
        return SingleImage(subject, asked, image)


async def find_row(index: Index, images: Images, repository: Repository, asked: ImageId) -> Image:
    """Return an image that `repository` has, with all that is known of it. Raises ImageFailure."""
    digest = find_image(index, repository, asked)
    image = (await images.find(repository, [digest])).get(digest)
    if image is None:
        not_found()
    return image


def unknown(subject: Subject, asked: ImageId) -> ImageNotFound:
    """Return the refusal of a whole call for an image that is not there."""
    return ImageNotFound(asked.digest, asked.tag, subject.name, subject.registry)
