"""Manifests that are refused, each with the word of the spec that says why; and what is kept of them: nothing."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from pushing import (
    ask,
    code_of,
    described,
    image_manifest,
    index_manifest,
    push_blob,
    push_image,
    put_manifest,
    read_answers,
    sha256,
    sha512,
    written,
)
from running import RunningNode, running

from mirror.oci.media import OCI_INDEX, OCI_MANIFEST

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONFIG = b'{"architecture": "amd64", "os": "linux"}'
LAYER = b"layer " * 1000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningNode]:
    async with running(tmp_path_factory.mktemp("node")) as node:
        yield node


async def with_blobs(node: RunningNode, name: str) -> str:
    """Push the blobs that the manifests of these tests name."""
    for blob in (CONFIG, LAYER):
        await push_blob(node, name, blob)
    return name


async def test_a_manifest_pushed_by_another_digest_is_refused(node: RunningNode) -> None:
    """RELIABILITY A5: DIGEST_INVALID, and nothing is kept."""
    name = await with_blobs(node, "wrong/digest")
    data = image_manifest(CONFIG, [LAYER])
    for wrong in (sha256(data + b" "), sha512(data + b" "), "sha512:" + sha256(data)[7:] * 2):
        status, _, body = await put_manifest(node, name, wrong, data)
        assert (status, code_of(body)) == (400, "DIGEST_INVALID")
        assert (await node.fetch(f"/v2/{name}/manifests/{wrong}"))[0] == 404
    assert (await node.fetch(f"/v2/{name}/manifests/{sha256(data)}"))[0] == 404


async def test_a_manifest_without_end_is_refused_at_the_limit(node: RunningNode) -> None:
    """RELIABILITY A2: a chunked body without end is answered 413 when the limit is passed, not when it ends."""
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    head = b"PUT /v2/x/manifests/v1 HTTP/1.1\r\nHost: node\r\nTransfer-Encoding: chunked\r\n\r\n"
    [answer] = read_answers(await node.raw(head + chunk * 5, until_close=False))
    assert (answer.status, code_of(answer.body)) == (413, "SIZE_INVALID")
    assert answer.headers["connection"] == "close"


async def test_missing_blobs_are_named(node: RunningNode) -> None:
    """distribution-spec, "Error Codes": MANIFEST_BLOB_UNKNOWN, with the digests in the detail; nothing is kept."""
    await push_blob(node, "missing/blobs", CONFIG)
    data = image_manifest(CONFIG, [b"one", b"two"])
    status, _, body = await put_manifest(node, "missing/blobs", "v1", data)
    assert (status, code_of(body)) == (404, "MANIFEST_BLOB_UNKNOWN")
    detail = json.loads(body)["errors"][0]["detail"]
    assert [item["digest"] for item in detail] == [sha256(b"one"), sha256(b"two")]
    for reference in ("v1", sha256(data)):
        assert (await node.fetch(f"/v2/missing/blobs/manifests/{reference}"))[0] == 404


async def test_missing_children_of_an_index_are_named(node: RunningNode) -> None:
    """An index is whole when it is pushed: every child is in the same repository, not merely somewhere."""
    image = await push_image(node, "children/elsewhere", "v1")
    status, _, body = await put_manifest(node, "children/here", "v1", index_manifest([image.manifest]), OCI_INDEX)
    assert (status, code_of(body)) == (404, "MANIFEST_BLOB_UNKNOWN")


IMAGE = json.loads(image_manifest(CONFIG, [LAYER]))
AMBIGUOUS: dict[str, tuple[bytes, str]] = {
    "layers and manifests": (written(IMAGE | {"mediaType": "x/y", "manifests": [described(b"")]}), "x/y"),
    "manifests in an image": (written(IMAGE | {"manifests": []}), OCI_MANIFEST),
    "layers in an index": (written({"schemaVersion": 2, "mediaType": OCI_INDEX, "layers": []}), OCI_INDEX),
    "mediaType against Content-Type": (written(IMAGE), OCI_INDEX),
    "a key twice": (b'{"schemaVersion": 2, "layers": [], "layers": []}', OCI_MANIFEST),
    "a folded key": (written(IMAGE | {"Layers": []}), OCI_MANIFEST),
    "a key with a long s": (written(IMAGE | {"layer\u017f": []}), OCI_MANIFEST),
    "a folded key of a descriptor": (written(IMAGE | {"config": described(CONFIG) | {"Digest": "x"}}), OCI_MANIFEST),
    "a float size": (written(IMAGE | {"config": described(CONFIG) | {"size": 40.0}}), OCI_MANIFEST),
    "a huge size": (written(IMAGE | {"config": described(CONFIG) | {"size": 10**23}}), OCI_MANIFEST),
    "a negative size": (written(IMAGE | {"config": described(CONFIG) | {"size": -1}}), OCI_MANIFEST),
    "a true size": (written(IMAGE | {"config": described(CONFIG) | {"size": True}}), OCI_MANIFEST),
    "trailing bytes": (written(IMAGE) + b"{}", OCI_MANIFEST),
    "not a number": (b'{"schemaVersion": NaN}', OCI_MANIFEST),
    "a byte order mark": (b"\xef\xbb\xbf" + written(IMAGE), OCI_MANIFEST),
    "another encoding": (written(IMAGE).decode().encode("utf-16"), OCI_MANIFEST),
    "depth": (b"[" * 100_000 + b"]" * 100_000, OCI_MANIFEST),
    "depth in an object": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, OCI_MANIFEST),
    "a list": (b"[]", OCI_MANIFEST),
    "a string": (b'"manifest"', OCI_MANIFEST),
    "nothing": (b"", OCI_MANIFEST),
    "no media type": (b'{"schemaVersion": 2}', ""),
    "a bad digest": (written(IMAGE | {"config": described(CONFIG) | {"digest": "sha256:../x"}}), OCI_MANIFEST),
    "too many children": (written({"schemaVersion": 2, "manifests": [0] * 10_001}), OCI_INDEX),
    "a long number": (b'{"schemaVersion": ' + b"9" * 10_000 + b"}", OCI_MANIFEST),
}


@pytest.mark.parametrize("case", AMBIGUOUS)
async def test_a_manifest_that_two_readers_may_read_differently_is_refused(node: RunningNode, case: str) -> None:
    """RELIABILITY A4 and finding 7: MANIFEST_INVALID, with a message that says what was wrong; nothing is kept."""
    name = await with_blobs(node, "ambiguous")
    data, media_type = AMBIGUOUS[case]
    options = {"headers": {"Content-Type": media_type}} if media_type else {"skip_auto_headers": ["Content-Type"]}
    status, _, body = await ask(node, "PUT", f"/v2/{name}/manifests/v1", data=data, **options)
    assert (status, code_of(body)) == (400, "MANIFEST_INVALID")
    assert (await node.fetch(f"/v2/{name}/manifests/v1"))[0] == 404
    assert (await node.fetch(f"/v2/{name}/manifests/{sha256(data)}"))[0] == 404


@pytest.mark.parametrize("coding", ["gzip", "zstd", "GZIP"])
async def test_a_coded_manifest_is_refused(node: RunningNode, coding: str) -> None:
    """RELIABILITY A3: 415 for any Content-Encoding, for it is unclear what the digest is over."""
    name = await with_blobs(node, "coded")
    data = image_manifest(CONFIG, [LAYER])
    head = f"PUT /v2/{name}/manifests/v1 HTTP/1.1\r\nHost: node\r\nContent-Encoding: {coding}\r\n"
    more = f"Content-Type: {OCI_MANIFEST}\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    [answer] = read_answers(await node.raw((head + more).encode() + data))
    assert (answer.status, code_of(answer.body)) == (415, "UNSUPPORTED")


@pytest.mark.parametrize("media_type", ["x" * 300, "application/é"])
async def test_a_media_type_outside_the_grammar_is_refused(node: RunningNode, media_type: str) -> None:
    """RELIABILITY A28: what comes back in a header is checked when it comes in."""
    name = await with_blobs(node, "bad/media")
    status, _, body = await put_manifest(node, name, "v1", b'{"schemaVersion": 2}', media_type)
    assert (status, code_of(body)) == (400, "MANIFEST_INVALID")


async def test_html_is_never_sniffed_out_of_a_manifest_or_blob(node: RunningNode) -> None:
    """RELIABILITY A29: nosniff on what a stranger pushed, and a blob has no type of its own."""
    name = "sniffed"
    blob = await push_blob(node, name, b"<html><script>alert(1)</script></html>")
    await push_blob(node, name, CONFIG)
    data = image_manifest(CONFIG)
    await put_manifest(node, name, "v1", data)
    for path in (f"/v2/{name}/blobs/{blob}", f"/v2/{name}/manifests/v1"):
        headers = (await node.fetch(path))[1]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Type"] in ("application/octet-stream", OCI_MANIFEST)
