"""Listing: tags, referrers and the catalog, page by page, whatever a client says that a page is."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pushing import (
    PushedImage,
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
)
from running import RunningNode, cached, running
from standin import Standin

from mirror.oci.media import OCI_INDEX, OCI_MANIFEST

pytestmark = pytest.mark.asyncio(loop_scope="module")

SBOM, SIGNATURE = "application/vnd.example.sbom", "application/vnd.example.signature+json"
TAGS = ["0", "1.0", "A", "Z", "_x", "a", "a-b", "a.b", "latest", "v1", "v10", "v2"]  # in the order of their bytes
BAD_COUNTS = ["-1", "1e9", "%D9%A1", "\u0664", "abc", "", "%201", "1%20", "0x10", "1_0", "+1", "1.0", "NaN", "%00"]
HUGE_COUNTS = ["2147483647", "9" * 19, "9" * 400]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningNode]:
    async with running(tmp_path_factory.mktemp("node")) as node:
        yield node


async def with_tags(node: RunningNode, name: str) -> str:
    image = await push_image(node, name, TAGS[0])
    for tag in reversed(TAGS):
        assert (await put_manifest(node, name, tag, image.manifest))[0] == 201
    return name


def next_page(headers: Any) -> str:
    """The target of a `Link: <...>; rel="next"` (RFC 8288), or ""."""
    if "Link" not in headers:
        return ""
    match = re.fullmatch(r'<([^>]+)>; rel="next"', headers["Link"])
    assert match, headers["Link"]
    return match[1]


async def pages(node: RunningNode, path: str, field: str) -> list[list[str]]:
    """Follow the links from `path`; return each page's entries."""
    found = []
    while path:
        status, headers, body = await node.fetch(path)
        assert (status, headers["Content-Type"]) == (200, "application/json")
        found.append(json.loads(body)[field])
        assert len(found) < 100, "the links go round in a circle"
        path = next_page(headers)
    return found


async def test_tags_are_listed_in_lexical_order(node: RunningNode) -> None:
    """distribution-spec, "Listing Tags": ASCIIbetical; each once however often it was pushed."""
    name = await with_tags(node, "tags/all")
    status, headers, body = await node.fetch(f"/v2/{name}/tags/list")
    assert (status, json.loads(body)) == (200, {"name": name, "tags": TAGS})
    assert "Link" not in headers


@pytest.mark.parametrize("count", [1, 2, 5, 11, 12, 13])
async def test_tags_are_listed_page_by_page(node: RunningNode, count: int) -> None:
    """distribution-spec, "Listing Tags": `n` and `last`, joined by Link until there is no more."""
    name = await with_tags(node, "tags/pages")
    found = await pages(node, f"/v2/{name}/tags/list?n={count}", "tags")
    assert [tag for page in found for tag in page] == TAGS
    assert all(len(page) == count for page in found[:-1])
    assert found[-1], "a link led to an empty page"


@pytest.mark.parametrize(("last", "left"), [("", TAGS), ("a", TAGS[6:]), ("b", TAGS[8:]), ("zzz", []), ("v2", [])])
async def test_last_need_not_be_a_tag(node: RunningNode, last: str, left: list[str]) -> None:
    """distribution-spec, "Listing Tags": what follows `last` in lexical order, whether it exists or not."""
    name = await with_tags(node, "tags/last")
    assert json.loads((await node.fetch(f"/v2/{name}/tags/list?last={last}"))[2])["tags"] == left


async def test_no_tags_are_wanted(node: RunningNode) -> None:
    """distribution-spec, "Listing Tags": `n=0` is an empty list, and no link, for it would lead nowhere."""
    name = await with_tags(node, "tags/zero")
    for path, field in ((f"/v2/{name}/tags/list?n=0", "tags"), ("/v2/_catalog?n=0", "repositories")):
        status, headers, body = await node.fetch(path)
        assert (status, json.loads(body)[field], "Link" in headers) == (200, [], False)


async def test_a_page_that_cannot_be_counted_is_refused(node: RunningNode) -> None:
    """RELIABILITY A1 and A36: -1, 1e9, digits of other scripts: 400 PAGINATION_NUMBER_INVALID."""
    name = await with_tags(node, "tags/bad")
    for count in BAD_COUNTS:
        for path in (f"/v2/{name}/tags/list", "/v2/_catalog"):
            raw = await node.raw(f"GET {path}?n={count} HTTP/1.0\r\n\r\n".encode())
            [answer] = read_answers(raw)
            known = ("PAGINATION_NUMBER_INVALID", "UNSUPPORTED")
            assert (answer.status, code_of(answer.body) in known) == (400, True), (count, path)


async def test_a_huge_page_is_a_page(node: RunningNode) -> None:
    """RELIABILITY A1: capped, not refused and not obeyed."""
    name = await with_tags(node, "tags/huge")
    for count in HUGE_COUNTS:
        assert (await pages(node, f"/v2/{name}/tags/list?n={count}", "tags")) == [TAGS]
        assert name in (await pages(node, f"/v2/_catalog?n={count}", "repositories"))[0]


async def test_a_link_carries_the_other_parameters_on(tmp_path: Path) -> None:
    """A containerd that says `?ns=` means the same upstream on the next page; text is quoted (RELIABILITY A28)."""
    async with Standin() as standin, running(tmp_path, upstreams=[cached(standin)]) as node:
        for tag in ("v1", "v2"):
            standin.add_image("library/app", tag)
        path = "/v2/library/app/tags/list?n=1&ns=docker.io&x=%0d%0aSet-Cookie:%20a%3E%22"
        assert await pages(node, path, "tags") == [["v1"], ["v2"]]
        assert "Set-Cookie" not in (await node.fetch(path))[1]


@pytest.mark.parametrize("name", ["no/such/repository", "a"])
async def test_tags_of_an_unknown_repository_are_unknown(node: RunningNode, name: str) -> None:
    """distribution-spec, "Error Codes": 404 NAME_UNKNOWN."""
    status, _, body = await node.fetch(f"/v2/{name}/tags/list")
    assert (status, code_of(body)) == (404, "NAME_UNKNOWN")


# Referrers.


async def with_referrers(node: RunningNode, name: str) -> tuple[PushedImage, list[dict[str, Any]]]:
    """Push an image and four things that refer to it; return it and how they should be listed."""
    image = await push_image(node, name, "v1")
    await push_blob(node, name, b"{}")
    subject = described(image.manifest, OCI_MANIFEST)
    config = described(b"{}", SIGNATURE)
    notes = {"org.example.note": 'höher > "quoted"'}
    wanted = []
    for data, media_type, kind, annotations in (
        (image_manifest(b"{}", subject=subject, artifactType=SBOM, annotations=notes), OCI_MANIFEST, SBOM, notes),
        (image_manifest(b"{}", subject=subject, artifactType=SBOM), OCI_MANIFEST, SBOM, None),
        (image_manifest(b"{}", subject=subject, config=config), OCI_MANIFEST, SIGNATURE, None),
        (index_manifest(subject=subject, artifactType=SBOM), OCI_INDEX, SBOM, None),
    ):
        status, headers, _ = await put_manifest(node, name, sha256(data), data, media_type)
        assert (status, headers["OCI-Subject"]) == (201, image.digest)
        more = {"annotations": annotations} if annotations else {}
        wanted.append(described(data, media_type, artifactType=kind, **more))
    return image, wanted


def by_digest(descriptors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(descriptors, key=lambda item: str(item["digest"]))


async def test_referrers_are_listed_as_an_index(node: RunningNode) -> None:
    """distribution-spec, "Listing Referrers": descriptors with artifactType (else the config's type), annotations."""
    image, wanted = await with_referrers(node, "referrers/all")
    status, headers, body = await node.fetch(f"/v2/referrers/all/referrers/{image.digest}")
    assert (status, headers["Content-Type"]) == (200, OCI_INDEX)
    assert "OCI-Filters-Applied" not in headers
    index = json.loads(body)
    assert (index["schemaVersion"], index["mediaType"]) == (2, OCI_INDEX)
    assert by_digest(index["manifests"]) == by_digest(wanted)


@pytest.mark.parametrize("kind", [SBOM, SIGNATURE, "application/vnd.example.none"])
async def test_referrers_are_filtered_by_type_and_the_filter_is_confirmed(node: RunningNode, kind: str) -> None:
    """distribution-spec, "Listing Referrers": `artifactType` and OCI-Filters-Applied; an empty list is 200."""
    image, wanted = await with_referrers(node, "referrers/filtered")
    url = f"/v2/referrers/filtered/referrers/{image.digest}?artifactType={kind.replace('+', '%2B')}"
    status, headers, body = await node.fetch(url)
    assert (status, headers["OCI-Filters-Applied"]) == (200, "artifactType")
    chosen = [item for item in wanted if item["artifactType"] == kind]
    assert by_digest(json.loads(body)["manifests"]) == by_digest(chosen)


@pytest.mark.parametrize("name", ["referrers/none", "no/such/repository"])
@pytest.mark.parametrize("digest", [sha256(b"unknown"), sha512(b"unknown")])
async def test_an_unknown_subject_has_no_referrers(node: RunningNode, name: str, digest: str) -> None:
    """CLIENTS quirk 12: 200 and an empty index, never 404, which means that there is no such API."""
    await push_image(node, "referrers/none", "v1")
    status, headers, body = await node.fetch(f"/v2/{name}/referrers/{digest}")
    assert (status, headers["Content-Type"], json.loads(body)["manifests"]) == (200, OCI_INDEX, [])


async def test_a_subject_may_come_after_its_referrer(node: RunningNode) -> None:
    """distribution-spec, "Pushing Manifests with Subject": the subject need not exist yet."""
    await push_blob(node, "referrers/early", b"{}")
    later = image_manifest(b"{}", annotations={"comes": "later"})
    early = image_manifest(b"{}", subject=described(later, OCI_MANIFEST))
    for data in (early, later):
        assert (await put_manifest(node, "referrers/early", sha256(data), data))[0] == 201
    found = json.loads((await node.fetch(f"/v2/referrers/early/referrers/{sha256(later)}"))[2])["manifests"]
    assert [item["digest"] for item in found] == [sha256(early)]


async def test_referrers_belong_to_their_repository(node: RunningNode) -> None:
    """RELIABILITY A10: a signature in one repository is not listed in another that has the same subject."""
    image, _ = await with_referrers(node, "referrers/here")
    for blob in (image.config, image.layer):
        await push_blob(node, "referrers/there", blob)
    await put_manifest(node, "referrers/there", "v1", image.manifest)
    body = (await node.fetch(f"/v2/referrers/there/referrers/{image.digest}"))[2]
    assert json.loads(body)["manifests"] == []


async def test_referrers_of_no_digest_are_refused(node: RunningNode) -> None:
    """distribution-spec, "Listing Referrers": 400 for a digest that is none."""
    for digest in ("sha256:abc", "v1", "sha1:" + "0" * 40):
        status, _, body = await node.fetch(f"/v2/referrers/all/referrers/{digest}")
        assert (status, code_of(body)) == (400, "DIGEST_INVALID")


# The catalog.


async def test_the_catalog_is_listed_page_by_page(tmp_path: Path) -> None:
    """Issue 2, section 3, `_catalog`: own and cached repositories, each by the name that pulls it, each once."""
    async with Standin() as standin, running(tmp_path, upstreams=[cached(standin)]) as node:
        own = ["b/app", "library/app", "zeta"]
        for name in own:
            await push_image(node, name, "v1")
        for name in ("library/app", "team/app"):
            standin.add_image(name, "v1")
            assert (await node.fetch(f"/v2/docker.io/{name}/manifests/v1"))[0] == 200
        whole = [*own, "docker.io/library/app", "docker.io/team/app"]
        for count in (1, 2, 3, 4, 5, 6):
            found = await pages(node, f"/v2/_catalog?n={count}", "repositories")
            assert [name for page in found for name in page] == whole
            assert all(len(page) == count for page in found[:-1])
        for name in whole:
            assert (await node.fetch(f"/v2/{name}/manifests/v1"))[0] == 200


async def test_the_catalog_forgets_an_upstream_that_is_no_longer_configured(tmp_path: Path) -> None:
    """What cannot be pulled is not listed, and its place in the list leads no page round in a circle."""
    async with Standin() as standin, running(tmp_path, upstreams=[cached(standin)]) as node:
        for name in ("library/app", "team/app"):
            standin.add_image(name, "v1")
            assert (await node.fetch(f"/v2/docker.io/{name}/manifests/v1"))[0] == 200
    async with running(tmp_path) as node:
        await push_image(node, "own/app", "v1")
        assert await pages(node, "/v2/_catalog?n=1", "repositories") == [["own/app"]]


@pytest.mark.parametrize("last", ["Not+A+Name", "../x", "%00", "a" * 300, "x%0d%0ay"])
async def test_a_catalog_after_no_name_is_refused(node: RunningNode, last: str) -> None:
    """RELIABILITY A27: `last` is a repository name or a bad request."""
    status, _, body = await ask(node, "GET", f"/v2/_catalog?last={last}")
    assert (status, code_of(body)) == (400, "PAGINATION_NUMBER_INVALID")
