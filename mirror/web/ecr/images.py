"""Images by the API: BatchGetImage, PutImage, ListImages.

Source: ECR API reference; ECR.md 1.3. A manifest is the bytes that were pushed, whatever `acceptedMediaTypes` says: a
converted one would have another digest. Pushing is the docker path's (`registry.push`), behind what only this API
checks.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from mirror.aws.errors import (
    ImageAlreadyExists,
    ImageDigestDoesNotMatch,
    LimitExceeded,
    constraint,
)
from mirror.oci.digest import Digest, digest_of
from mirror.oci.errors import ManifestInvalid, TagInvalid
from mirror.oci.manifest import Manifest
from mirror.oci.names import parse_tag
from mirror.registry.image_ids import ImageFailure
from mirror.registry.image_pulls import ImagePulls
from mirror.registry.manifests import read_manifest
from mirror.registry.push import Push
from mirror.store.images import Images as ImageRows
from mirror.store.index import Index
from mirror.web.aws.bodies import by_size
from mirror.web.aws.call import Call, Handler, Service
from mirror.web.ecr.image_ids import failed, image_id, read_image_ids
from mirror.web.ecr.listings import TAGGED, list_image_ids, read_status
from mirror.web.ecr.paging import make_token, page_size, read_token
from mirror.web.ecr.scope import circumstances
from mirror.web.ecr.subjects import Subject, Subjects

MANIFESTS_BYTES_MAX: Final = 32 * 1024 * 1024  # of one answer: a hundred manifests of 4 MiB are not one
TAGS_MAX: Final = 1_000  # ECR quota: tags for each image


class GetImages:
    """The handler of BatchGetImage."""

    def __init__(self, subjects: Subjects, pulls: ImagePulls) -> None:
        self._subjects = subjects
        self._pulls = pulls

    def handlers(self) -> Mapping[tuple[Service, str], Handler]:
        return {("ecr", "BatchGetImage"): self.batch_get_image}

    async def batch_get_image(self, call: Call) -> dict[str, Any]:
        """Give each image that is there, or can be had from upstream; say of each other why not."""
        name, now = call.input["repositoryName"], circumstances(call)
        repository = self._pulls.repository(self._subjects.registry_of(call), name, call.principal, now)
        subject = Subject(repository, name)
        images: list[dict[str, Any]] = []
        failures: list[dict[str, Any]] = []
        size = 0
        for asked in read_image_ids(call.input["imageIds"]):
            try:
                found = await self._pulls.pull(call.principal, repository, asked, now)
            except ImageFailure as failure:
                failures.append(failed(asked, failure))
                continue
            size += len(found.data)
            if size > MANIFESTS_BYTES_MAX:
                raise LimitExceeded(f"The manifests of these images are larger than {MANIFESTS_BYTES_MAX} bytes")
            images.append(_image(subject, found.digest, asked.tag, found.data.decode(), found.media_type))
        return {"images": images, "failures": failures}


class PutImages:
    """The handler of PutImage, of both services."""

    def __init__(self, service: Service, subjects: Subjects, index: Index, images: ImageRows, push: Push) -> None:
        self._service = service
        self._subjects = subjects
        self._index = index
        self._images = images
        self._push = push

    def handlers(self) -> Mapping[tuple[Service, str], Handler]:
        return {(self._service, "PutImage"): self.put_image}

    async def put_image(self, call: Call) -> dict[str, Any]:
        """Store a manifest whose parts are here, under a tag or its digest alone."""
        subject = self._subjects.of(call)
        text, tag = call.input["imageManifest"], _read_tag(call.input.get("imageTag", ""))
        data, manifest = await _read_manifest(text, call.input.get("imageManifestMediaType", ""))
        digest = await by_size(data, digest_of)
        asked = call.input.get("imageDigest", str(digest))
        if asked != str(digest):
            raise ImageDigestDoesNotMatch(
                f"The image digest '{asked}' does not match the digest '{digest}' of the image manifest"
            )
        is_tagged = await self._check_new(subject, digest, tag)
        # A tag that means this image already is not set again: it may be one that must not be.
        tags = () if is_tagged or not tag else (tag,)
        await self._push.keep_manifest(subject.repository, digest, data, manifest, tags)
        return {"image": _image(subject, digest, tag, text, manifest.media_type)}

    async def _check_new(self, subject: Subject, digest: Digest, tag: str) -> bool:
        """Tell whether the tag is this image's already. Raises ImageAlreadyExists unless the image is archived."""
        member = self._index.member(subject.repository, digest)
        if member is None or member.kind != "manifest":
            return False
        entry = self._index.tag(subject.repository, tag) if tag else None
        is_tagged = entry is not None and entry.digest == digest
        if not member.archived and (is_tagged or not tag):
            raise ImageAlreadyExists(str(digest), tag, subject.name, subject.registry)
        found = await self._images.find(subject.repository, [digest])
        if tag and not is_tagged and any(len(image.tags) >= TAGS_MAX for image in found.values()):
            raise LimitExceeded(f"The image with digest '{digest}' has {TAGS_MAX} tags: it can have no more")
        return is_tagged


class ListImages:
    """The handler of ListImages."""

    def __init__(self, subjects: Subjects, images: ImageRows) -> None:
        self._subjects = subjects
        self._images = images

    def handlers(self) -> Mapping[tuple[Service, str], Handler]:
        return {("ecr", "ListImages"): self.list_images}

    async def list_images(self, call: Call) -> dict[str, Any]:
        """List digest and tag of each image, one entry for each tag."""
        subject = self._subjects.of(call)
        wanted = call.input.get("filter", {})
        status = read_status(wanted)
        if status == "ACTIVATING":
            return {"imageIds": []}
        entries, cursor = await list_image_ids(
            self._images,
            subject.repository,
            read_token(call),
            page_size(call),
            status=status,
            tagged=TAGGED[wanted.get("tagStatus", "ANY")],
        )
        listed = [image_id(image.digest, tag) for image, tag, _ in entries]
        return {"imageIds": listed, "nextToken": make_token(call, cursor) if cursor else None}


def _image(subject: Subject, digest: Digest, tag: str, manifest: str, media_type: str) -> dict[str, Any]:
    return {
        **subject.shape,
        "imageId": image_id(digest, tag),
        "imageManifest": manifest,
        "imageManifestMediaType": media_type,
    }


def _read_tag(tag: str) -> str:
    try:
        return parse_tag(tag) if tag else ""
    except TagInvalid as error:
        raise constraint("imageTag", error.message) from None


async def _read_manifest(text: str, media_type: str) -> tuple[bytes, Manifest]:
    """Return a manifest's bytes and what they say. Raises InvalidParameter."""
    try:
        data = text.encode()
        return data, await read_manifest(data, media_type)
    except UnicodeEncodeError:
        raise constraint("ImageManifest", "Invalid JSON syntax") from None
    except ManifestInvalid as error:
        raise constraint("ImageManifest", error.message if _is_json(text) else "Invalid JSON syntax") from None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
