"""Image ids as the API writes them: ImageIdentifier and ImageFailure."""

from collections.abc import Iterable, Mapping
from typing import Any

from mirror.oci.digest import Digest
from mirror.registry.image_ids import ImageFailure, ImageId


def read_image_id(value: Mapping[str, Any]) -> ImageId:
    """Read an ImageIdentifier of an input."""
    return ImageId(value.get("imageDigest", ""), value.get("imageTag", ""))


def read_image_ids(values: Iterable[Mapping[str, Any]]) -> list[ImageId]:
    """Read a list of them; one that is given twice counts once."""
    return list(dict.fromkeys(map(read_image_id, values)))


def image_id(digest: Digest | str | None, tag: str | None) -> dict[str, str]:
    """Write an ImageIdentifier of what is known."""
    return {**({"imageDigest": str(digest)} if digest else {}), **({"imageTag": tag} if tag else {})}


def failed(asked: ImageId, failure: ImageFailure) -> dict[str, Any]:
    """Write an ImageFailure: the id as it was asked for."""
    return {
        "imageId": image_id(asked.digest, asked.tag),
        "failureCode": failure.code,
        "failureReason": failure.reason,
    }
