"""What a registry says when it says no: one tree, its code and status as data.

Source: OCI distribution-spec v1.1, "Error Codes"; ECR API reference, "Common Errors", for `aws`, the name of the same
refusal in the AWS APIs. Answered in one place for each dialect, in `web/`; raised anywhere.
"""

from collections.abc import Mapping
from typing import ClassVar


class RegistryError(Exception):
    """A refusal with an OCI code: `message` says what was wrong, `detail` is data, `headers` go out with it.

    `aws` is the `__type` of the same refusal in the AWS APIs, and `aws_status` its HTTP status there.
    """

    code: ClassVar[str] = "UNKNOWN"
    status: ClassVar[int] = 500
    aws: ClassVar[str] = "ServerException"
    aws_status: ClassVar[int] = 500

    def __init__(self, message: str, *, detail: object = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.headers = dict(headers or {})


class BlobUnknown(RegistryError):
    code, status = "BLOB_UNKNOWN", 404
    aws, aws_status = "LayersNotFoundException", 400


class BlobUploadUnknown(RegistryError):
    code, status = "BLOB_UPLOAD_UNKNOWN", 404
    aws, aws_status = "UploadNotFoundException", 400


class BlobUploadBusy(RegistryError):
    """Another request is writing to this upload session."""

    code, status = "BLOB_UPLOAD_INVALID", 409
    aws, aws_status = "InvalidLayerPartException", 400


class UploadRangeInvalid(RegistryError):
    """A chunk that does not start where the upload ends: 416, with the offset in `Range`."""

    code, status = "BLOB_UPLOAD_INVALID", 416
    aws, aws_status = "InvalidLayerPartException", 400


class DigestInvalid(RegistryError):
    code, status = "DIGEST_INVALID", 400
    aws, aws_status = "InvalidParameterException", 400


class ManifestBlobUnknown(RegistryError):
    code, status = "MANIFEST_BLOB_UNKNOWN", 404
    aws, aws_status = "LayersNotFoundException", 400


class ManifestInvalid(RegistryError):
    code, status = "MANIFEST_INVALID", 400
    aws, aws_status = "InvalidParameterException", 400


class ManifestTooLarge(RegistryError):
    code, status = "SIZE_INVALID", 413
    aws, aws_status = "InvalidParameterException", 400


class ManifestUnknown(RegistryError):
    code, status = "MANIFEST_UNKNOWN", 404
    aws, aws_status = "ImageNotFoundException", 400


class NameInvalid(RegistryError):
    code, status = "NAME_INVALID", 400
    aws, aws_status = "InvalidParameterException", 400


class NameUnknown(RegistryError):
    code, status = "NAME_UNKNOWN", 404
    aws, aws_status = "RepositoryNotFoundException", 400


class TagInvalid(RegistryError):
    code, status = "TAG_INVALID", 400
    aws, aws_status = "InvalidParameterException", 400


class QueryInvalid(RegistryError):
    """A query parameter that cannot be read, e.g. `n=-1`."""

    code, status = "PAGINATION_NUMBER_INVALID", 400
    aws, aws_status = "InvalidParameterException", 400


class SizeInvalid(RegistryError):
    code, status = "SIZE_INVALID", 400
    aws, aws_status = "InvalidParameterException", 400


class RangeNotSatisfiable(RegistryError):
    code, status = "RANGE_INVALID", 416


class Unauthorized(RegistryError):
    code, status = "UNAUTHORIZED", 401
    aws, aws_status = "UnrecognizedClientException", 403


class Denied(RegistryError):
    code, status = "DENIED", 403
    aws, aws_status = "AccessDeniedException", 400


class Unsupported(RegistryError):
    code, status = "UNSUPPORTED", 405
    aws, aws_status = "InvalidParameterException", 400


class RequestInvalid(RegistryError):
    """A request that no route, host or grammar of ours can mean."""

    code, status = "UNSUPPORTED", 400
    aws, aws_status = "InvalidParameterException", 400


class NotFound(RegistryError):
    """A path that is no route of ours."""

    code, status = "UNSUPPORTED", 404


class EncodingUnsupported(RegistryError):
    """A coded request body: digests are over plain bytes, so a coding is refused, never undone."""

    code, status = "UNSUPPORTED", 415
    aws, aws_status = "InvalidParameterException", 400


class StorageFull(RegistryError):
    """The disk has no room for it (RFC 4918 section 11.5): the same status in both dialects, that none tries again."""

    code, status = "UNAVAILABLE", 507
    aws_status = 507


class Unavailable(RegistryError):
    """Not now: too many connections, or the node is going down."""

    code, status = "UNAVAILABLE", 503
    aws, aws_status = "ServiceUnavailable", 503


class UpstreamError(RegistryError):
    """The upstream registry could not give what was asked. Never said when upstream said "not found"."""

    code, status = "UNAVAILABLE", 502


class UpstreamDenied(UpstreamError):
    """Upstream answered 401 or 403 to the credential (or none) that this node has."""

    code, status = "DENIED", 502


class UpstreamUnavailable(UpstreamError):
    """Not reachable, or not to be asked now (breaker open, rate limit): 503, with Retry-After where known."""

    code, status = "UNAVAILABLE", 503


class UpstreamThrottled(UpstreamUnavailable):
    """Upstream has had enough of us for now: it said so, or what it allows is used up."""


class UpstreamTimeout(UpstreamError):
    code, status = "UNAVAILABLE", 504
