"""Paths: the routes of the specification, read raw, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.digest import digest_of
from mirror.oci.errors import (
    BlobUploadUnknown,
    DigestInvalid,
    NameInvalid,
    NotFound,
    RegistryError,
    TagInvalid,
)
from mirror.oci.paths import Route, parse_path

DIGEST = digest_of(b"x")
SESSION = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v2/", Route("base")),
        ("/v2", Route("base")),
        ("/v2/_catalog", Route("catalog")),
        ("/v2/a/tags/list", Route("tags", "a")),
        ("/v2/a/b/manifests/latest", Route("manifest", "a/b", "latest")),
        (f"/v2/a/manifests/{DIGEST}", Route("manifest", "a", DIGEST)),
        (f"/v2/a/blobs/{DIGEST}", Route("blob", "a", DIGEST)),
        ("/v2/a/blobs/uploads/", Route("uploads", "a")),
        ("/v2/a/blobs/uploads", Route("uploads", "a")),
        (f"/v2/a/blobs/uploads/{SESSION}", Route("upload", "a", session=SESSION)),
        (f"/v2/a/referrers/{DIGEST}", Route("referrers", "a", DIGEST)),
        # Names may hold the very words that routes are made of.
        ("/v2/tags/list/tags/list", Route("tags", "tags/list")),
        ("/v2/manifests/manifests/manifests", Route("manifest", "manifests", "manifests")),
        (f"/v2/blobs/uploads/blobs/{DIGEST}", Route("blob", "blobs/uploads", DIGEST)),
        ("/v2/blobs/uploads/manifests/v1", Route("manifest", "blobs/uploads", "v1")),
        ("/v2/a/manifests/list", Route("manifest", "a", "list")),
        ("/v2/v2/manifests/v2", Route("manifest", "v2", "v2")),
    ],
)
def test_a_path_is_its_route(path: str, route: Route) -> None:
    """Distribution-spec 1.1, "Endpoints"."""
    assert parse_path(path) == route


def test_a_blob_route_has_a_digest() -> None:
    assert parse_path(f"/v2/a/blobs/{DIGEST}").digest == DIGEST


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("", NotFound),
        ("/", NotFound),
        ("/v1/", NotFound),
        ("//v2/", NotFound),
        ("/v2//", NotFound),
        ("/v2/a", NotFound),
        ("/v2/a/manifests", NotFound),
        ("/v2/a/unknown/b", NotFound),
        ("/v2/a/tags/lists", NotFound),
        ("/v2/manifests/latest", NotFound),
        ("/v2//manifests/latest", NameInvalid),
        ("/v2/a//b/manifests/latest", NameInvalid),
        ("/v2/../manifests/latest", NameInvalid),
        ("/v2/a/../../etc/manifests/latest", NameInvalid),
        ("/v2/%2e%2e/manifests/latest", NameInvalid),
        ("/v2/a%2fb/manifests/latest", NameInvalid),
        ("/v2/a/manifests/%6catest", NameInvalid),
        ("/v2/a\0b/manifests/latest", NameInvalid),
        ("/v2/a\\b/manifests/latest", NameInvalid),
        ("/v2/\u00e4/manifests/latest", NameInvalid),
        ("/v2/A/tags/list", NameInvalid),
        ("/v2/tags/list", NotFound),
        ("/v2/a/manifests/", TagInvalid),
        ("/v2/a/manifests/-", TagInvalid),
        ("/v2/a/manifests/..", TagInvalid),
        ("/v2/a/manifests/sha256:1", DigestInvalid),
        ("/v2/a/blobs/latest", DigestInvalid),
        ("/v2/a/blobs/", DigestInvalid),
        ("/v2/a/referrers/latest", DigestInvalid),
        ("/v2/a/blobs/uploads/../x", (NotFound, NameInvalid)),
        ("/v2/a/blobs/uploads/" + "a" * 31, BlobUploadUnknown),
        ("/v2/a/blobs/uploads/" + "A" * 32, BlobUploadUnknown),
        ("/v2/a/blobs/uploads/" + "a" * 33, BlobUploadUnknown),
    ],
)
def test_a_path_that_is_no_route_is_refused(
    path: str, error: type[RegistryError] | tuple[type[RegistryError], ...]
) -> None:
    """RELIABILITY A27 and finding 5: nothing decodes, nothing normalises, nothing climbs."""
    with pytest.raises(error):
        parse_path(path)


@given(
    st.lists(
        st.sampled_from(["v2", "a", "b-c", "manifests", "blobs", "uploads", "tags", "list", "..", "", str(DIGEST)])
    )
)
def test_any_path_is_a_route_or_refused_as_the_specification_says(parts: list[str]) -> None:
    try:
        route = parse_path("/v2/" + "/".join(parts))
    except RegistryError as error:
        assert error.status in (400, 404)
    else:
        assert ".." not in route.name.split("/")
        assert "" not in route.name.split("/") or route.kind in ("base", "catalog")


@given(st.text(max_size=60))
def test_any_text_is_a_route_or_refused(text: str) -> None:
    for path in (text, "/v2/" + text, f"/v2/{text}/manifests/latest", f"/v2/a/manifests/{text}"):
        try:
            parse_path(path)
        except RegistryError as error:
            assert error.status in (400, 404)
