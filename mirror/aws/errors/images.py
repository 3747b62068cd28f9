"""Refusals about images and layers. Pure."""

from collections.abc import Iterable
from typing import Final

from mirror.aws.errors.kinds import AwsError
from mirror.oci.errors import BlobUploadUnknown, ManifestBlobUnknown, ManifestUnknown, TagInvalid
from mirror.oci.names import Registry

NULL: Final = "null"  # how ECR prints the absent half of an image id


class ImageNotFound(ManifestUnknown):
    aws = "ImageNotFoundException"

    def __init__(self, digest: str, tag: str, name: str, registry: Registry) -> None:
        super().__init__(
            f"The image with imageId {image_id(digest, tag)} does not exist within the repository with name '{name}' "
            f"in the registry with id '{registry.account}'"
        )


def image_id(digest: str, tag: str) -> str:
    """Print an image id as ECR does: the absent half is `null`, in quotes."""
    return f"{{imageDigest:'{digest or NULL}', imageTag:'{tag or NULL}'}}"


class ImageAlreadyExists(AwsError):
    aws = "ImageAlreadyExistsException"

    def __init__(self, digest: str, tag: str, name: str, registry: Registry) -> None:
        tagged = f" and tag '{tag}'" if tag else ""
        super().__init__(
            f"Image with digest '{digest}'{tagged} already exists in the repository with name '{name}' in registry "
            f"with id '{registry.account}'"
        )


class ImageTagAlreadyExists(TagInvalid):
    aws = "ImageTagAlreadyExistsException"

    def __init__(self, tag: str, name: str) -> None:
        super().__init__(
            f"The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten because the "
            "repository is immutable."
        )


class ImageDigestDoesNotMatch(AwsError):
    aws = "ImageDigestDoesNotMatchException"


class ImageStorageClassUpdateNotSupported(AwsError):
    aws = "ImageStorageClassUpdateNotSupportedException"


class ImageArchived(AwsError):
    aws = "ImageArchivedException"


class LayersNotFound(ManifestBlobUnknown):
    aws = "LayersNotFoundException"

    def __init__(self, digests: Iterable[str], name: str, registry: Registry) -> None:
        digests = list(digests)
        super().__init__(
            _required("Layers", digests, name, registry), detail=[{"digest": digest} for digest in digests[:100]]
        )


class ReferencedImagesNotFound(ManifestBlobUnknown):
    aws = "ReferencedImagesNotFoundException"

    def __init__(self, digests: Iterable[str], name: str, registry: Registry) -> None:
        digests = list(digests)
        super().__init__(
            _required("Images", digests, name, registry), detail=[{"digest": digest} for digest in digests[:100]]
        )


NAMED_MAX: Final = 20  # digests in one text: what tools look for stands behind them, and a text is cut at some length


def _required(kind: str, digests: list[str], name: str, registry: Registry) -> str:
    listed = ", ".join(digests[:NAMED_MAX])
    return (
        f"{kind} with digests '[{listed}]' required for pushing image into repository with name '{name}' in the "
        f"registry with id '{registry.account}' do not exist"
    )


# Layers.


class LayerDigestsNotFound(AwsError):
    """GetDownloadUrlForLayer of a layer that is nowhere in the repository."""

    aws = "LayersNotFoundException"


class LayerInaccessible(AwsError):
    aws = "LayerInaccessibleException"


class UploadNotFound(BlobUploadUnknown):
    aws = "UploadNotFoundException"

    def __init__(self, upload: str, name: str, registry: Registry) -> None:
        super().__init__(
            f"Upload with id '{upload}' could not be found for the repository with name '{name}' in the registry with "
            f"id '{registry.account}'"
        )


class InvalidLayer(AwsError):
    aws = "InvalidLayerException"


class InvalidLayerPart(AwsError):
    """A part out of order. `detail` has the model's extra members, which stand at the top of the answer."""

    aws = "InvalidLayerPartException"


class LayerPartTooSmall(AwsError):
    aws = "LayerPartTooSmallException"


class LayerAlreadyExists(AwsError):
    aws = "LayerAlreadyExistsException"


class EmptyUpload(AwsError):
    aws = "EmptyUploadException"
