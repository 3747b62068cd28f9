"""Who may read, write and delete what: belonging to a repository, and what anybody may do by configuration."""

from collections.abc import AsyncIterator
from itertools import chain, combinations
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from pulling import pull
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
    sha256,
)
from running import EVERYTHING, RunningNode, cached, running
from standin import Standin

from mirror.oci.media import OCI_INDEX, OCI_MANIFEST

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOBODY_HAS: Final = sha256(b"nobody has this")
DATED: Final = ("Date", "X-Request-ID")  # headers that differ from one answer to the next


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningNode]:
    async with running(tmp_path_factory.mktemp("node")) as node:
        yield node


async def same_as_unknown(node: RunningNode, name: str, digest: str) -> bool:
    """Tell whether a blob is answered in `name` as one that nobody has: status, headers and words."""
    answers = []
    for asked in (digest, NOBODY_HAS):
        for method, headers in (("GET", {}), ("HEAD", {}), ("GET", {"Range": "bytes=0-1"})):
            status, found, body = await ask(node, method, f"/v2/{name}/blobs/{asked}", headers=headers)
            kept = {key: value for key, value in found.items() if key not in DATED}
            answers.append((status, kept, body.replace(asked.encode(), b"")))
    return answers[:3] == answers[3:] and answers[0][0] == 404


async def test_a_blob_is_not_readable_through_another_repository(node: RunningNode) -> None:
    """RELIABILITY A7: a digest known in A and asked through B is as unknown as one that nobody has."""
    image = await push_image(node, "a7/owner", "v1")
    await push_image(node, "a7/other", "v1")
    assert await same_as_unknown(node, "a7/other", sha256(image.layer))
    assert await same_as_unknown(node, "a7/nowhere", sha256(image.layer))
    for name, code in (("a7/other", "MANIFEST_UNKNOWN"), ("a7/nowhere", "NAME_UNKNOWN")):
        status, _, body = await node.fetch(f"/v2/{name}/manifests/{image.digest}")
        assert (status, code_of(body)) == (404, code)


@pytest.mark.parametrize("disguise", ["foreign", "urls", "subject"])
async def test_naming_a_blob_in_a_manifest_does_not_make_it_readable(node: RunningNode, disguise: str) -> None:
    """RELIABILITY A7: a foreign layer or a subject need not be here, so naming one proves nothing."""
    name = f"a7/disguise/{disguise}"
    secret = await push_blob(node, "a7/secrets", b"a secret of somebody's")
    await push_blob(node, name, b"{}")
    foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar"
    layers = {
        "foreign": [described(b"a secret of somebody's", foreign)],
        "urls": [described(b"a secret of somebody's", urls=["https://example.com/"])],
        "subject": [],
    }[disguise]
    subject = {"subject": described(b"a secret of somebody's")} if disguise == "subject" else {}
    status, _, body = await put_manifest(node, name, "v1", image_manifest(b"{}", layers=layers, **subject))
    assert status == 201, body
    assert await same_as_unknown(node, name, secret)


async def test_a_foreign_layer_that_was_pushed_all_the_same_is_served(node: RunningNode) -> None:
    """image-spec, "Non-Distributable Layers": clients may push them with a flag; then they are blobs like others."""
    layer = b"a foreign layer that somebody pushed"
    foreign = described(layer, "application/vnd.oci.image.layer.nondistributable.v1.tar")
    for blob in (b"{}", layer):
        await push_blob(node, "foreign/pushed", blob)
    assert (await put_manifest(node, "foreign/pushed", "v1", image_manifest(b"{}", layers=[foreign])))[0] == 201
    assert (await node.fetch(f"/v2/foreign/pushed/blobs/{sha256(layer)}"))[2] == layer


async def test_a_manifest_of_another_repository_is_no_child_of_ours(node: RunningNode) -> None:
    """RELIABILITY A7: naming it in an index takes having it."""
    image = await push_image(node, "a7/image", "v1")
    status, _, body = await put_manifest(node, "a7/index", "v1", index_manifest([image.manifest]), OCI_INDEX)
    assert (status, code_of(body)) == (404, "MANIFEST_BLOB_UNKNOWN")
    assert (await node.fetch(f"/v2/a7/index/manifests/{image.digest}"))[0] == 404


async def test_a_blob_deleted_here_and_touched_there_stays_deleted_here(node: RunningNode) -> None:
    """RELIABILITY A8: delete in A, push, mount and pull in B, GET in A: 404."""
    digest = await push_blob(node, "a8/a", b"deleted in a")
    assert (await node.fetch(f"/v2/a8/a/blobs/{digest}"))[0] == 200
    assert (await ask(node, "DELETE", f"/v2/a8/a/blobs/{digest}"))[0] == 202
    await push_blob(node, "a8/b", b"deleted in a")
    assert (await ask(node, "POST", f"/v2/a8/c/blobs/uploads/?mount={digest}&from=a8/b"))[0] == 201
    for name in ("a8/b", "a8/c"):
        assert (await node.fetch(f"/v2/{name}/blobs/{digest}"))[0] == 200
    assert await same_as_unknown(node, "a8/a", digest)
    assert (await ask(node, "POST", f"/v2/a8/d/blobs/uploads/?mount={digest}&from=a8/a"))[0] == 202


async def test_a_manifest_deleted_here_and_pushed_there_stays_deleted_here(node: RunningNode) -> None:
    """RELIABILITY A8, for manifests: by tag and by digest."""
    image = await push_image(node, "a8/first", "v1")
    assert (await ask(node, "DELETE", f"/v2/a8/first/manifests/{image.digest}"))[0] == 202
    for blob in (image.config, image.layer):
        await push_blob(node, "a8/second", blob)
    assert (await put_manifest(node, "a8/second", "v1", image.manifest))[0] == 201
    for reference in ("v1", image.digest):
        assert (await node.fetch(f"/v2/a8/first/manifests/{reference}"))[0] == 404
        assert (await node.fetch(f"/v2/a8/second/manifests/{reference}"))[0] == 200


async def test_mounting_a_manifest_as_a_blob_makes_it_one_or_is_an_upload(node: RunningNode) -> None:
    """distribution-spec, "Mounting a blob": what was answered 201 can be pulled from that Location."""
    image = await push_image(node, "mounted/manifest", "v1")
    for source in ("", "&from=mounted/manifest"):
        url = f"/v2/mounted/manifest/blobs/uploads/?mount={image.digest}{source}"
        status, headers, _ = await ask(node, "POST", url)
        if status == 201:
            assert (await node.fetch(headers["Location"]))[2] == image.manifest
        else:
            assert status == 202


@pytest.mark.parametrize("source", ["&from=a9/secret", ""])
async def test_a_mount_without_the_right_to_pull_is_an_upload(tmp_path: Path, source: str) -> None:
    """RELIABILITY A9: who may push but not pull learns nothing from a mount: 202, as for what nobody has."""
    async with running(tmp_path) as node:
        digest = await push_blob(node, "a9/secret", b"not for pushers")
    async with running(tmp_path, anonymous=("push",)) as node:
        for asked in (digest, NOBODY_HAS):
            status, headers, _ = await ask(node, "POST", f"/v2/a9/pusher/blobs/uploads/?mount={asked}{source}")
            assert (status, "Docker-Upload-UUID" in headers) == (202, True)


# Every route of the table, with the action that it takes and what is answered when it is allowed.
SESSION: Final = "0" * 32
ROUTES: Final = (
    ("GET", "/v2/", "", 200),
    ("GET", "/healthz", "", 200),
    ("GET", "/readyz", "", 200),
    ("GET", "/metrics", "", 200),
    ("GET", "/v2/_catalog", "pull", 200),
    ("GET", "/v2/some/app/tags/list", "pull", 200),
    ("GET", f"/v2/some/app/referrers/{NOBODY_HAS}", "pull", 200),
    ("GET", "/v2/some/app/manifests/v1", "pull", 200),
    ("HEAD", "/v2/some/app/manifests/v1", "pull", 200),
    ("GET", "/v2/some/app/blobs/{layer}", "pull", 200),
    ("HEAD", "/v2/some/app/blobs/{layer}", "pull", 200),
    ("PUT", "/v2/some/app/manifests/v2", "push", 201),
    ("POST", "/v2/some/app/blobs/uploads/", "push", 202),
    ("GET", f"/v2/some/app/blobs/uploads/{SESSION}", "push", 404),
    ("PATCH", f"/v2/some/app/blobs/uploads/{SESSION}", "push", 404),
    ("PUT", f"/v2/some/app/blobs/uploads/{SESSION}?digest={NOBODY_HAS}", "push", 404),
    ("DELETE", f"/v2/some/app/blobs/uploads/{SESSION}", "push", 404),
    ("DELETE", "/v2/some/app/manifests/gone", "delete", 404),
    ("DELETE", f"/v2/some/app/manifests/{NOBODY_HAS}", "delete", 404),
    ("DELETE", f"/v2/some/app/blobs/{NOBODY_HAS}", "delete", 404),
)
SETS: Final = tuple(chain.from_iterable(combinations(EVERYTHING, count) for count in range(4)))


async def test_anonymous_callers_may_do_what_is_configured_and_no_more(tmp_path: Path) -> None:
    """Issue 2, section 2, [access]: every route against every set of actions; 401 for the others, which a
    client with a credential answers by showing it (ECR.md 3.3)."""
    async with running(tmp_path) as node:
        image = await push_image(node, "some/app", "v1")
    for allowed in SETS:
        async with running(tmp_path, anonymous=allowed) as node:
            wrong = [route for route in ROUTES if not await obeys(node, image, route, allowed)]
        assert not wrong, (allowed, wrong)


async def obeys(
    node: RunningNode, image: PushedImage, route: tuple[str, str, str, int], allowed: tuple[str, ...]
) -> bool:
    """Ask twice on one connection, so that the express lane has its say: the answers are those of the table."""
    method, path, action, usual = route
    wanted = usual if not action or action in allowed else 401
    for _ in range(2):
        sent = {"data": image.manifest, "headers": {"Content-Type": OCI_MANIFEST}} if path.endswith("/v2") else {}
        status, _, body = await ask(node, method, path.format(layer=sha256(image.layer)), **sent)
        if status != wanted or (wanted == 401 and method != "HEAD" and code_of(body) != "UNAUTHORIZED"):
            return False
    return True


@pytest.mark.parametrize("name", ["docker.io/library/app", "docker.io/team/app"])
async def test_what_caches_an_upstream_takes_no_pushes_and_deletes(tmp_path: Path, name: str) -> None:
    """RELIABILITY A14: direct push to a mirror's namespace is refused for all, and nothing is asked upstream."""
    async with Standin() as standin, running(tmp_path, upstreams=[cached(standin)]) as node:
        for method, path in (
            ("POST", f"/v2/{name}/blobs/uploads/"),
            ("POST", f"/v2/{name}/blobs/uploads/?mount={NOBODY_HAS}&from=own/app"),
            ("PUT", f"/v2/{name}/manifests/v1"),
            ("DELETE", f"/v2/{name}/manifests/v1"),
            ("DELETE", f"/v2/{name}/blobs/{NOBODY_HAS}"),
            ("POST", "/v2/library/app/blobs/uploads/?ns=docker.io"),
        ):
            status, _, body = await ask(node, method, path)
            assert (status, code_of(body)) == (405, "UNSUPPORTED"), (method, path)
        assert not standin.seen


async def test_a_cached_blob_is_not_readable_through_a_repository_that_its_upstream_denies(tmp_path: Path) -> None:
    """RELIABILITY A7 for caches: a digest that is here is served under another name when upstream has it there."""
    async with Standin() as standin, running(tmp_path, upstreams=[cached(standin)]) as node:
        image = standin.add_image("library/app", "v1")
        layer = image.layers[0]
        await pull(node, image)
        del standin.blobs[layer]
        assert (await node.fetch(f"/v2/library/other/blobs/{layer}"))[0] == 404
        assert (await node.fetch(f"/v2/own/app/blobs/{layer}"))[0] == 404
        assert (await node.fetch(f"/v2/library/app/blobs/{layer}"))[0] == 200
