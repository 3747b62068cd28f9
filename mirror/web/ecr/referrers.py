"""ListImageReferrers: the signatures, SBOMs and other artifacts of an image.

Source: ECR API reference; ECR.md 1.3 and 2.9. The same list as `GET /v2/<name>/referrers/<digest>`, with a status. Of a
cached repository it is the upstream's list, and nothing in it is believed to be more than text of some length.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mirror.aws.errors import UnableToListUpstreamImageReferrers, ValidationFailed
from mirror.oci.digest import Digest, parse_digest
from mirror.oci.errors import DigestInvalid, ManifestUnknown, UpstreamError
from mirror.registry.discovery import Discovery
from mirror.store.images import Images
from mirror.web.aws.call import Call, Handler, Service
from mirror.web.ecr.listings import read_status
from mirror.web.ecr.paging import make_token, page_size, read_text, read_token
from mirror.web.ecr.subjects import Subject, Subjects

PAGE_DEFAULT: Final = 20
READ_AT_ONCE: Final = 500  # statuses: a statement takes some thousand values


class Referrers:
    """The handler of ListImageReferrers."""

    def __init__(self, subjects: Subjects, images: Images, discovery: Discovery) -> None:
        self._subjects = subjects
        self._images = images
        self._discovery = discovery

    def handlers(self) -> Mapping[tuple[Service, str], Handler]:
        return {("ecr", "ListImageReferrers"): self.list_image_referrers}

    async def list_image_referrers(self, call: Call) -> dict[str, Any]:
        """List what says of itself that it is about an image, by digest."""
        subject = self._subjects.of(call)
        wanted = call.input.get("filter", {})
        after, limit = read_text(read_token(call)), page_size(call, PAGE_DEFAULT)
        found = await self._referrers(subject, _read_subject(call))
        found = [one for one in found if one["digest"] > after and _is_of(one, wanted.get("artifactTypes"))]
        status = read_status({"imageStatus": wanted.get("artifactStatus", "ACTIVE")})
        found = [one for one in await self._with_status(subject, found) if status in (None, one["artifactStatus"])]
        more = len(found) > limit
        page = found[:limit]
        return {"referrers": page, "nextToken": make_token(call, [page[-1]["digest"]]) if more else None}

    async def _referrers(self, subject: Subject, digest: Digest) -> list[dict[str, Any]]:
        try:
            items = (await self._discovery.referrers(subject.repository, digest)).items
        except ManifestUnknown:
            return []
        except UpstreamError as error:
            raise UnableToListUpstreamImageReferrers(error.message) from None
        return sorted(filter(None, map(_referrer, items)), key=lambda one: str(one["digest"]))

    async def _with_status(self, subject: Subject, found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Add the status; what is only at the upstream is as active there as anything."""
        statuses: dict[str, str] = {}
        for at in range(0, len(found), READ_AT_ONCE):
            digests = [parse_digest(one["digest"]) for one in found[at : at + READ_AT_ONCE]]
            here = await self._images.find(subject.repository, digests)
            statuses |= {str(digest): image.status for digest, image in here.items()}
        return [{**one, "artifactStatus": statuses.get(one["digest"], "ACTIVE")} for one in found]


def _referrer(item: Mapping[str, Any]) -> dict[str, Any] | None:
    """Read a descriptor; None for one that an answer could not hold."""
    digest, media_type, size = item.get("digest"), item.get("mediaType"), item.get("size")
    if not isinstance(digest, str) or not isinstance(media_type, str) or type(size) is not int:
        return None
    try:
        parse_digest(digest)
    except DigestInvalid:
        return None
    artifact_type, annotations = item.get("artifactType"), item.get("annotations")
    texts = annotations.items() if isinstance(annotations, Mapping) else ()
    return {
        "digest": digest,
        "mediaType": media_type,
        "artifactType": artifact_type if isinstance(artifact_type, str) and artifact_type else None,
        "size": size,
        "annotations": {key: value for key, value in texts if isinstance(value, str)} or None,
    }


def _is_of(referrer: Mapping[str, Any], artifact_types: Sequence[str] | None) -> bool:
    return not artifact_types or referrer["artifactType"] in artifact_types


def _read_subject(call: Call) -> Digest:
    try:
        return parse_digest(call.input["subjectId"]["imageDigest"])
    except DigestInvalid as error:
        raise ValidationFailed(
            f"1 validation error detected: Value at 'subjectId.imageDigest': {error.message}"
        ) from None
