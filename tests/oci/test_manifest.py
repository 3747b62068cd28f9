"""Manifests: read once, strictly where two readers would read different things."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci import media
from mirror.oci.digest import digest_of
from mirror.oci.errors import ManifestInvalid, ManifestTooLarge, RegistryError
from mirror.oci.manifest import CHILDREN_MAX, MANIFEST_BYTES_MAX, Descriptor, parse_manifest

ONE, TWO = str(digest_of(b"1")), str(digest_of(b"2"))
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG = "application/vnd.oci.image.config.v1+json"


def descriptor(digest: str = ONE, size: object = 1, media_type: str = LAYER, **more: object) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest, "size": size, **more}


def image(**changes: object) -> dict[str, Any]:
    body = {
        "schemaVersion": 2,
        "mediaType": media.OCI_MANIFEST,
        "config": descriptor(TWO, 2, CONFIG),
        "layers": [descriptor()],
        **changes,
    }
    return {key: value for key, value in body.items() if value is not ...}


def index(**changes: object) -> dict[str, Any]:
    platform = {"os": "linux", "architecture": "arm", "variant": "v7"}
    child = descriptor(media_type=media.OCI_MANIFEST, platform=platform)
    return {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": [child], **changes}


def data(body: object) -> bytes:
    return json.dumps(body).encode()


def test_an_image_names_its_config_and_layers_in_order() -> None:
    """Image-spec, manifest.md."""
    manifest = parse_manifest(data(image(annotations={"a": "b"})), media.OCI_MANIFEST)
    assert manifest.media_type == media.OCI_MANIFEST
    assert [(blob.media_type, str(blob.digest), blob.size) for blob in manifest.blobs] == [
        (CONFIG, TWO, 2),
        (LAYER, ONE, 1),
    ]
    assert manifest.manifests == ()
    assert manifest.artifact_type == CONFIG
    assert manifest.annotations == {"a": "b"}


def test_an_index_names_its_children_and_their_platforms() -> None:
    """Image-spec, image-index.md."""
    manifest = parse_manifest(data(index()))
    assert manifest.media_type == media.OCI_INDEX
    assert manifest.blobs == ()
    assert [child.platform for child in manifest.manifests] == ["linux/arm/v7"]


def test_a_referrer_names_its_subject_and_type() -> None:
    """Image-spec 1.1, manifest.md, `subject` and `artifactType`."""
    subject = descriptor(TWO, 7, media.OCI_MANIFEST)
    manifest = parse_manifest(data(image(subject=subject, artifactType="application/x")))
    assert manifest.subject is not None
    assert str(manifest.subject.digest) == TWO
    assert manifest.artifact_type == "application/x"


def test_a_foreign_layer_need_not_be_here() -> None:
    """Image-spec, layer.md, non-distributable layers; Docker's foreign layers and `urls`."""
    foreign = descriptor(media_type="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")
    linked = descriptor(urls=["https://elsewhere.example/x"])
    manifest = parse_manifest(data(image(layers=[foreign, linked, descriptor()])))
    assert [blob.foreign for blob in manifest.blobs] == [False, True, True, False]
    assert len(manifest.needed) == 2


@pytest.mark.parametrize(
    ("body", "content_type", "media_type"),
    [
        (image(), "", media.OCI_MANIFEST),
        (image(), f"{media.OCI_MANIFEST}; charset=utf-8", media.OCI_MANIFEST),
        (image(mediaType=...), media.OCI_MANIFEST, media.OCI_MANIFEST),
        (image(mediaType=None), media.OCI_MANIFEST, media.OCI_MANIFEST),
        (image(mediaType="application/x.unknown"), "application/x.unknown", "application/x.unknown"),
        ({"schemaVersion": 2, "mediaType": media.DOCKER_LIST, "manifests": None}, "", media.DOCKER_LIST),
        (image(layers=None), "", media.OCI_MANIFEST),
        (image(layers=[], more="unknown keys are kept"), "", media.OCI_MANIFEST),
        (image(config=...), "", media.OCI_MANIFEST),
    ],
)
def test_the_media_type_is_said_once_or_twice_alike(body: object, content_type: str, media_type: str) -> None:
    assert parse_manifest(data(body), content_type).media_type == media_type


@pytest.mark.parametrize(
    ("text", "why"),
    [
        # Both kinds at once, or one that says it is the other (CVE-2021-41190).
        (data(index(layers=[descriptor()])), "both layers and manifests"),
        (data(index(mediaType="x/y", layers=[descriptor()])), "both layers and manifests"),
        (data(image(manifests=[])), "must not have manifests"),
        (data(index(layers=[])), "must not have layers or config"),
        (data(index(config=descriptor())), "must not have layers or config"),
        # True duplicates, at any depth.
        (b'{"mediaType":"a/b","layers":[],"layers":[]}', "twice"),
        (b'{"mediaType":"a/b","config":{"size":1,"size":2}}', "twice"),
        (b'{"mediaType":"a/b","annotations":{"a":"1","a":"2"}}', "twice"),
        (b'{"mediaType":"a/b","x":{"y":[{"z":1,"z":1}]}}', "twice"),
        (b'{"mediaType":"a/b","l\\u0061yers":[],"layers":[]}', "twice"),
        # Keys that Go folds onto known ones, the long s and the Kelvin sign too.
        (data({**image(), "Layers": []}), "some clients read as 'layers'"),
        (data({**image(), "LAYERS": []}), "some clients read as 'layers'"),
        (data({**image(), "layer\u017f": []}), "some clients read as 'layers'"),
        (data(image(layers=[{**descriptor(), "\u017fize": 9}])), "some clients read as 'size'"),
        (data(image(layers=[{**descriptor(), "Digest": TWO}])), "some clients read as 'digest'"),
        (data({**image(), "Subject": descriptor()}), "some clients read as 'subject'"),
        (data({**image(), "MediaType": "x/y"}), "some clients read as 'mediaType'"),
        # Numbers that readers round, wrap or clip.
        (data(image(layers=[descriptor(size=-1)])), "layers[0].size"),
        (data(image(layers=[descriptor(size=1.0)])), "layers[0].size"),
        (data(image(layers=[descriptor(size="1")])), "layers[0].size"),
        (data(image(layers=[descriptor(size=True)])), "layers[0].size"),
        (data(image(layers=[descriptor(size=None)])), "layers[0].size"),
        (data(image(layers=[descriptor(size=2**63)])), "layers[0].size"),
        (data(image()).replace(b'"size": 1', b'"size": 1e23'), "layers[0].size"),
        (data(image()).replace(b'"size": 1', b'"size": NaN'), "NaN"),
        (data(image()).replace(b'"size": 1', b'"size": Infinity'), "Infinity"),
        (data(image()).replace(b'"size": 1', b'"size": -Infinity'), "-Infinity"),
        (data(image()).replace(b'"size": 1', b'"size": ' + b"9" * 5_000), "manifest"),
        # Bytes around and instead of the JSON.
        (data(image()) + b"x", "not JSON"),
        (data(image()) + data(image()), "not JSON"),
        (data(image()) + b"\0", "not JSON"),
        (b"\xef\xbb\xbf" + data(image()), "not JSON"),
        (json.dumps(image()).encode("utf-16"), "not JSON"),
        (b"\xff", "not JSON"),
        (b"", "not JSON"),
        (b"null", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b'"x"', "not a JSON object"),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not JSON"),
        (b'{"mediaType":"a/b","x":' + b'{"y":' * 100_000, "not JSON"),
        (b'{"mediaType":"a/b",}', "not JSON"),
        (b'{"mediaType":"a\nb"}', "not JSON"),
        # Wrong shapes.
        (data(image(layers={})), "layers is not a list"),
        (data(image(layers="x")), "layers is not a list"),
        (data(image(layers=[1])), "layers[0] is not an object"),
        (data(image(layers=[None])), "layers[0] is not an object"),
        (data(image(config=[])), "config is not an object"),
        (data(image(config={})), "config.size"),
        (data(image(subject="x")), "subject is not an object"),
        (data(image(layers=[descriptor("sha256:1")])), "layers[0].digest"),
        (data(image(layers=[descriptor("md5:" + "a" * 32)])), "layers[0].digest"),
        (data(image(layers=[{"size": 1, "mediaType": "x"}])), "layers[0].digest"),
        (data(image(layers=[descriptor(media_type=1)])), "mediaType is not a string"),  # type: ignore[arg-type]
        (data(image(artifactType=1)), "artifactType is not a string"),
        (data(image(mediaType=7)), "mediaType is not a string"),
        (data(image(mediaType="a" * 256)), "media type"),
        (data(image(mediaType="a/b\r\nX-Evil: 1")), "media type"),
        (data(image(mediaType="a/\u00e4")), "media type"),
        (data({}), "neither a Content-Type nor a mediaType"),
    ],
)
def test_a_manifest_that_can_be_read_in_two_ways_is_refused(text: bytes, why: str) -> None:
    """RELIABILITY A4 and finding 7."""
    with pytest.raises(ManifestInvalid) as caught:
        parse_manifest(text)
    assert why in caught.value.message


def test_a_content_type_must_not_contradict_the_body() -> None:
    """RELIABILITY A4; distribution-spec 1.1, "Pushing manifests"."""
    with pytest.raises(ManifestInvalid, match="Content-Type is"):
        parse_manifest(data(image()), media.OCI_INDEX)


def test_a_manifest_of_four_mebibytes_is_taken_and_one_byte_more_is_not() -> None:
    """Distribution-spec 1.1: registries should take at least 4 MiB."""
    text = data(image())
    parse_manifest(text + b" " * (MANIFEST_BYTES_MAX - len(text)))
    with pytest.raises(ManifestTooLarge) as caught:
        parse_manifest(text + b" " * (MANIFEST_BYTES_MAX - len(text) + 1))
    assert caught.value.status == 413


def test_children_have_a_limit() -> None:
    child = descriptor()
    with pytest.raises(ManifestInvalid, match="at most"):
        parse_manifest(data(index(manifests=[child] * (CHILDREN_MAX + 1))))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
known_keys = st.sampled_from(["mediaType", "config", "layers", "manifests", "subject", "artifactType", "annotations"])


@given(st.dictionaries(known_keys, json_values))
def test_any_json_is_a_manifest_or_refused(body: dict[str, Any]) -> None:
    """RELIABILITY G23: nothing uncaught."""
    try:
        parse_manifest(data(body), "application/x")
    except RegistryError as error:
        assert error.status == 400


@given(st.binary(max_size=60))
def test_any_bytes_are_a_manifest_or_refused(text: bytes) -> None:
    for body in (text, b'{"layers":' + text + b"}"):
        try:
            parse_manifest(body, "application/x")
        except ManifestInvalid:
            continue


@given(st.lists(st.tuples(st.binary(max_size=5), st.integers(0, 2**63 - 1)), max_size=5))
def test_every_layer_is_found_as_it_was_written(layers: list[tuple[bytes, int]]) -> None:
    written = [descriptor(str(digest_of(content)), size) for content, size in layers]
    manifest = parse_manifest(data(image(config=..., layers=written)))
    assert list(manifest.blobs) == [Descriptor(LAYER, digest_of(content), size) for content, size in layers]
