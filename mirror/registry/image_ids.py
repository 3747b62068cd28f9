"""Image ids: by what the ECR API calls an image, its digest, a tag or both; and which image that is.

Source: ECR API reference, ImageIdentifier and ImageFailure; ECR.md 1.3. Operations on several images answer each one:
`ImageFailure` is an entry of such a list, not a refusal of the call.
"""

from dataclasses import dataclass
from typing import Final, Literal, NoReturn

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.errors import DigestInvalid, TagInvalid
from mirror.oci.names import Repository, parse_tag
from mirror.store.index import Index

FailureCode = Literal[
    "ImageNotFound",
    "ImageReferencedByManifestList",
    "ImageTagDoesNotMatchDigest",
    "InvalidImageDigest",
    "InvalidImageTag",
    "MissingDigestAndTag",
    "UpstreamAccessDenied",
    "UpstreamTooManyRequests",
    "UpstreamUnavailable",
]
NOT_FOUND: Final = "Requested image not found"

_MISSING: Final = "Invalid request parameters: both tag and digest cannot be null"
_BAD_DIGEST: Final = "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"
_BAD_TAG: Final = "Invalid request parameters: image tag should satisfy the regex '[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}'"
_NO_MATCH: Final = "Requested image tag does not match the requested image digest"


class ImageFailure(Exception):
    """Why nothing could be done for one image of several."""

    def __init__(self, code: FailureCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ImageId:
    """An image as a client names it; what is absent is ""."""

    digest: str = ""
    tag: str = ""

    def read_digest(self) -> Digest | None:
        """Return the digest, None where none is given. Raises ImageFailure."""
        try:
            return parse_digest(self.digest) if self.digest else None
        except DigestInvalid:
            raise ImageFailure("InvalidImageDigest", _BAD_DIGEST) from None

    def read_tag(self) -> str:
        """Return the tag, "" where none is given. Raises ImageFailure."""
        try:
            return parse_tag(self.tag) if self.tag else ""
        except TagInvalid:
            raise ImageFailure("InvalidImageTag", _BAD_TAG) from None

    def check(self) -> None:
        """Raise ImageFailure unless this can name an image."""
        if not self.digest and not self.tag:
            raise ImageFailure("MissingDigestAndTag", _MISSING)
        self.read_digest()
        self.read_tag()


def find_image(index: Index, repository: Repository, asked: ImageId) -> Digest:
    """Return the digest of an image that `repository` has, archived or not. Raises ImageFailure."""
    asked.check()
    digest, tag = asked.read_digest(), asked.read_tag()
    if tag:
        entry = index.tag(repository, tag)
        if entry is None:
            not_found()
        check_match(asked, entry.digest)
        return entry.digest
    assert digest is not None
    member = index.member(repository, digest)
    if member is None or member.kind != "manifest":
        not_found()
    return digest


def check_match(asked: ImageId, tagged: Digest) -> None:
    """Raise ImageFailure when a digest is asked for beside a tag that means another one, `tagged`."""
    if asked.digest and str(tagged) != asked.digest:
        raise ImageFailure("ImageTagDoesNotMatchDigest", _NO_MATCH)


def not_found() -> NoReturn:
    raise ImageFailure("ImageNotFound", NOT_FOUND)
