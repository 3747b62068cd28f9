"""Refusals: each has a code and a status of its own to say."""

from mirror.oci import errors
from mirror.oci.errors import RegistryError

# Distribution-spec 1.1, "Error Codes", and those that registries use beyond it.
SPEC_CODES = {
    *("BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN"),
    *("MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID", "UNAUTHORIZED"),
    *("DENIED", "UNSUPPORTED", "TOOMANYREQUESTS"),
}
OUR_CODES = {"UNAVAILABLE", "RANGE_INVALID", "TAG_INVALID", "PAGINATION_NUMBER_INVALID", "UNKNOWN"}


def test_every_refusal_has_a_known_code_and_an_error_status() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, RegistryError)]
    assert len(kinds) > 20
    for kind in kinds:
        assert kind.code in SPEC_CODES | OUR_CODES, kind
        assert 400 <= kind.status < 600, kind


def test_a_refusal_carries_what_was_wrong() -> None:
    error = errors.BlobUnknown("no such blob", detail={"digest": "x"}, headers={"Retry-After": "1"})
    assert (str(error), error.message, error.detail) == ("no such blob", "no such blob", {"digest": "x"})
    assert error.headers == {"Retry-After": "1"}
    assert errors.BlobUnknown("x").headers == {}
