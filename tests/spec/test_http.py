"""The door in general: methods, HEAD, conditions, errors, addresses; and what operators ask of it."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from pushing import (
    PushedImage,
    ask,
    code_of,
    described,
    image_manifest,
    push_blob,
    push_image,
    put_manifest,
    read_answers,
    sha256,
)
from running import RunningNode, running

from mirror.oci.media import OCI_MANIFEST

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAME: Final = "http/app"
SESSION: Final = "0" * 32
LARGE: Final = b"large " * 20_000  # above what the index keeps


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningNode]:
    async with running(tmp_path_factory.mktemp("node")) as node:
        yield node


async def resources(node: RunningNode) -> tuple[PushedImage, list[str]]:
    """Push one of each and return the path of every resource that can be read."""
    image = await push_image(node, NAME, "v1")
    large = await push_blob(node, NAME, LARGE)
    signature = image_manifest(image.config, subject=described(image.manifest, OCI_MANIFEST))
    await put_manifest(node, NAME, sha256(signature), signature)
    kinds = (f"manifests/{image.digest}", "manifests/v1", f"blobs/{sha256(image.layer)}", f"blobs/{large}")
    lists = (f"referrers/{image.digest}", "tags/list", "tags/list?n=1")
    return image, [
        *(f"/v2/{NAME}/{kind}" for kind in (*kinds, *lists)),
        *("/v2/", "/v2", "/v2/_catalog", "/v2/_catalog?n=1", "/healthz", "/readyz"),
    ]


def undated(headers: Any) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers.items() if name != "Date"]


async def test_head_tells_what_get_sends(node: RunningNode) -> None:
    """RFC 9110 section 9.3.2 and CLIENTS quirk 4: the same status and headers for every resource, and no body."""
    _, paths = await resources(node)
    for path in paths:
        status, headers, body = await node.fetch(path)
        told = await ask(node, "HEAD", path)
        assert (told[0], told[2]) == (status, b"") == (200, b""), path
        assert undated(told[1]) == undated(headers), path
        assert headers["Content-Length"] == str(len(body)), path


async def test_head_of_what_is_missing_is_refused_without_a_body(node: RunningNode) -> None:
    """RFC 9110 section 9.3.2: the headers of the refusal, and the connection goes on."""
    for path in (f"/v2/{NAME}/manifests/none", f"/v2/{NAME}/blobs/{sha256(b'none')}", "/v2/none/tags/list"):
        request = f"HEAD {path} HTTP/1.1\r\nHost: node\r\n\r\n"
        raw = await node.raw((request + request[:-2] + "Connection: close\r\n\r\n").encode())
        first, second = read_answers(raw, to_head=True)
        assert first.status == second.status == 404
        assert first.headers["content-type"] == "application/json"


async def test_what_a_client_has_already_is_not_sent_again(node: RunningNode) -> None:
    """RFC 9110 section 13.1.2: If-None-Match with the ETag, weak, listed or `*` = 304 without a body."""
    _, paths = await resources(node)
    for path in paths[:4]:
        etag = (await node.fetch(path))[1]["ETag"]
        for method in ("GET", "HEAD"):
            for tags in (etag, f"W/{etag}", f'"other", {etag}', "*"):
                status, headers, body = await ask(node, method, path, headers={"If-None-Match": tags})
                assert (status, headers["ETag"], body) == (304, etag, b""), (method, path, tags)
                assert "Content-Type" not in headers
            for tags in ('"other"', 'W/"sha256:0"', ""):
                assert (await ask(node, method, path, headers={"If-None-Match": tags}))[0] == 200, tags


async def test_not_modified_has_no_body_and_the_connection_goes_on(node: RunningNode) -> None:
    """RFC 9110 section 15.4.5: a 304 ends with its headers, whatever they say of a length."""
    image, _ = await resources(node)
    request = f'GET /v2/{NAME}/manifests/v1 HTTP/1.1\r\nHost: node\r\nIf-None-Match: "{image.digest}"\r\n\r\n'
    raw = await node.raw((request + request[:-2] + "Connection: close\r\n\r\n").encode())
    assert [answer.status for answer in read_answers(raw)] == [304, 304]


async def test_any_accept_gets_what_is_there(node: RunningNode) -> None:
    """CLIENTS quirk 5: Accept never leads to 406, neither on blobs nor on manifests, and never re-writes."""
    image, paths = await resources(node)
    for path in paths[:4]:
        bodies = [
            (await node.fetch(path, headers={"Accept": accept}))[::2]
            for accept in ("*/*", "text/html", OCI_MANIFEST, "application/vnd.oci.image.index.v1+json", "q=0", "")
        ]
        assert len(set(bodies)) == 1
        assert bodies[0][0] == 200
    assert (await node.fetch(f"/v2/{NAME}/manifests/v1"))[2] == image.manifest


ALLOWED: Final = {
    "/v2/": "GET, HEAD",
    "/v2/_catalog": "GET, HEAD",
    f"/v2/{NAME}/tags/list": "GET, HEAD",
    f"/v2/{NAME}/referrers/{sha256(b'')}": "GET, HEAD",
    f"/v2/{NAME}/manifests/v1": "GET, HEAD, PUT, DELETE",
    f"/v2/{NAME}/blobs/{sha256(b'')}": "GET, HEAD, DELETE",
    f"/v2/{NAME}/blobs/uploads/": "POST",
    f"/v2/{NAME}/blobs/uploads": "POST",
    f"/v2/{NAME}/blobs/uploads/{SESSION}": "GET, PATCH, PUT, DELETE",
    "/healthz": "GET, HEAD",
    "/readyz": "GET, HEAD",
    "/metrics": "GET, HEAD",
}
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")


async def test_a_method_that_a_path_does_not_know_is_told_which_it_does(node: RunningNode) -> None:
    """RFC 9110 section 15.5.6: 405 with Allow, for every path of the table; RELIABILITY A31: nothing else is there."""
    for path, allowed in ALLOWED.items():
        for method in METHODS:
            status, headers, body = await ask(node, method, path)
            if method in allowed.split(", "):
                assert status != 405, (method, path)
                continue
            assert (status, headers["Allow"]) == (405, allowed), (method, path)
            assert method == "HEAD" or code_of(body) == "UNSUPPORTED"


async def test_every_refusal_is_json_in_the_words_of_the_spec(node: RunningNode) -> None:
    """distribution-spec, "Error Codes": errors with code and message, as JSON, never sniffed as anything else."""
    await resources(node)
    for method, path, status, code in (
        ("GET", "/", 404, "UNSUPPORTED"),
        ("GET", "/v1/", 404, "UNSUPPORTED"),
        ("GET", "/v2/nothing", 404, "UNSUPPORTED"),
        ("GET", f"/v2/{NAME}/manifests/none", 404, "MANIFEST_UNKNOWN"),
        ("GET", f"/v2/{NAME}/manifests/-none", 400, "TAG_INVALID"),
        ("GET", f"/v2/{NAME}/manifests/{'x' * 129}", 400, "TAG_INVALID"),
        ("GET", f"/v2/{NAME}/manifests/sha256:0", 400, "DIGEST_INVALID"),
        ("GET", f"/v2/{NAME}/blobs/{sha256(b'none')}", 404, "BLOB_UNKNOWN"),
        ("GET", f"/v2/{NAME}/blobs/none", 400, "DIGEST_INVALID"),
        ("GET", "/v2/UPPER/tags/list", 400, "NAME_INVALID"),
        ("GET", f"/v2/{'x' * 256}/tags/list", 400, "NAME_INVALID"),
        ("GET", "/v2/none/tags/list?ns=unheard.of", 404, "NAME_UNKNOWN"),
        ("GET", f"/v2/{NAME}/manifests/v1?ns=127.0.0.1:1", 404, "NAME_UNKNOWN"),
        ("GET", f"/v2/{NAME}/blobs/uploads/{SESSION}", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("GET", "/v2/_catalog?" + "&".join(f"f{n}=1" for n in range(40)), 400, "PAGINATION_NUMBER_INVALID"),
        ("DELETE", f"/v2/{NAME}/manifests/none", 404, "MANIFEST_UNKNOWN"),
    ):
        got, headers, body = await ask(node, method, path)
        assert (got, code_of(body)) == (status, code), (method, path, body)
        assert headers["Content-Type"] == "application/json"
        assert headers["X-Content-Type-Options"] == "nosniff"


async def test_no_answer_tells_who_made_the_server(node: RunningNode) -> None:
    """RELIABILITY section 5.5: aiohttp's `Server` shows the versions of Python and aiohttp; ours shows none."""
    _, paths = await resources(node)
    for path in (*paths, "/metrics", "/none", f"/v2/{NAME}/manifests/none"):
        assert (await node.fetch(path))[1]["Server"] == "mirror", path
    for broken in (b"\r\r\n\n", b"GET / HTTP/9.9\r\n\r\n", b"nonsense\r\n\r\n"):
        for answer in read_answers(await node.raw(broken, until_close=False)):
            assert answer.headers["server"] == "mirror"


async def test_the_base_is_there_for_everybody(tmp_path: Path) -> None:
    """CLIENTS quirk 15: `/v2/` is 200 while alive, with the header by which old clients know a registry."""
    async with running(tmp_path, anonymous=()) as node:
        for path in ("/v2/", "/v2"):
            status, headers, body = await node.fetch(path)
            assert (status, json.loads(body), headers["Content-Type"]) == (200, {}, "application/json")
            assert headers["Docker-Distribution-Api-Version"] == "registry/2.0"


async def every_address(node: RunningNode, **headers: str) -> list[str]:
    """Do all that is answered with an address of ours; return every header that came back."""
    image = await push_image(node, NAME, "v1")
    await put_manifest(node, NAME, "v2", image.manifest)
    found = []
    for method, path, data in (
        ("POST", f"/v2/{NAME}/blobs/uploads/", b""),
        ("POST", f"/v2/{NAME}/blobs/uploads/?digest={sha256(b'x')}", b"x"),
        ("POST", f"/v2/{NAME}/blobs/uploads/?mount={sha256(b'x')}", b""),
        ("PUT", f"/v2/{NAME}/manifests/v3", image.manifest),
        ("GET", f"/v2/{NAME}/tags/list?n=1", b""),
        ("GET", "/v2/_catalog?n=1", b""),
        ("GET", f"/v2/{NAME}/manifests/v1", b""),
        ("GET", f"/v2/{NAME}/blobs/{sha256(image.layer)}", b""),
        ("GET", "/v2/", b""),
        ("GET", "/nothing", b""),
    ):
        sent = {"Content-Type": OCI_MANIFEST} if method == "PUT" else {}
        status, got, body = await ask(node, method, path, data=data, headers=sent | headers)
        assert status < 500, (method, path)
        found += [f"{name}: {value}" for name, value in got.items()]
        found.append(body.decode(errors="replace"))
        if method == "POST" and status == 202:
            session = got["Location"].removeprefix("https://registry.example:8443")
            for step, more in (("PATCH", ""), ("GET", ""), ("PUT", f"?digest={sha256(b'y')}")):
                answer = await ask(node, step, session + more, data=b"y" if step == "PATCH" else b"", headers=headers)
                found += [f"{name}: {value}" for name, value in answer[1].items()]
    return found


async def test_nothing_of_a_strangers_host_comes_back(node: RunningNode) -> None:
    """RELIABILITY finding 6: Host and its forwarded kin decide nothing and are repeated nowhere."""
    await push_image(node, "another/app", "v1")
    found = await every_address(
        node,
        **{"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"},
        **{"Forwarded": "host=evil.example", "X-Original-URL": "/evil.example", "Origin": "https://evil.example"},
    )
    assert not [header for header in found if "evil" in header]
    places = [header for header in found if header.startswith(("Location:", "Link:"))]
    assert len(places) >= 8
    assert all(header.startswith(("Location: /v2/", "Link: </v2/")) for header in places)


async def test_addresses_are_those_of_the_public_url(tmp_path: Path) -> None:
    """Issue 2, section 2, `public_url`: used in every absolute URL that the node emits."""
    async with running(tmp_path, public_url="https://registry.example:8443/") as node:
        await push_image(node, "another/app", "v1")
        places = [line for line in await every_address(node) if line.startswith(("Location:", "Link:"))]
    assert len(places) >= 8
    starts = ("Location: https://registry.example:8443/v2/", "Link: <https://registry.example:8443/v2/")
    assert all(place.startswith(starts) for place in places), places


async def test_operators_are_answered(node: RunningNode) -> None:
    """Issue 2, section 2: /healthz, /readyz, and /metrics in Prometheus' format with no name of a client's in it."""
    await node.fetch("/v2/some/very/peculiar/name/manifests/peculiar-tag")
    for path in ("/healthz", "/readyz"):
        assert (await node.fetch(path))[::2] == (200, b"ok\n")
    status, headers, body = await node.fetch("/metrics")
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b"mirror_requests_total{" in body
    assert b"peculiar" not in body


async def test_requests_are_counted_by_what_they_were(node: RunningNode) -> None:
    """RELIABILITY A50: the labels are words of ours, whatever the method and path are."""
    for method in ("GET", "BREW"):
        await ask(node, method, "/v2/counted/manifests/v1")
    body = (await node.fetch("/metrics"))[2].decode()
    assert 'method="GET",route="manifest",status="4xx"' in body
    assert "BREW" not in body
