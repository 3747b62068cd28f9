"""GetDownloadUrlForLayer, and the address that it gives, over real sockets."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web
from ecr_calls import APP, ME, EcrCalls, ecr_calls, sha256
from registries import HOME
from running import cached
from standin import Fault, Standin

from mirror.aws.principals import Principal
from mirror.oci.errors import RegistryError
from mirror.registry.identities import Credential, Scope
from mirror.rules.identities import user_principal
from mirror.web.ecr.downloads import AUDIENCE, PATH

LAYER = b"layer 0" * 30
MAY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:GetDownloadUrlForLayer","Resource":"*"}]}'
ABSENT = "sha256:" + "0" * 64
HUB = "docker.io/library/app"


@asynccontextmanager
async def serving(ecr: EcrCalls) -> AsyncIterator[str]:
    """Serve downloads at the address that is given."""
    downloads = ecr.registries.downloads()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await downloads.get(request)
        except RegistryError as error:
            return web.Response(status=error.status, text=error.message)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def fetch(base: str, path: str, method: str = "GET", **headers: str) -> tuple[int, Mapping[str, str], bytes]:
    async with aiohttp.ClientSession() as session, session.request(method, base + path, headers=headers) as response:
        return response.status, response.headers, await response.read()


async def url_path(ecr: EcrCalls, digest: str, name: str = APP, principal: Principal = ME) -> str:
    asked = {"repositoryName": name, "layerDigest": digest, "registryId": HOME.account}
    answer = await ecr("GetDownloadUrlForLayer", principal=principal, **asked)
    assert answer["layerDigest"] == digest
    url = urlsplit(answer["downloadUrl"])
    assert f"{url.scheme}://{url.netloc}" == ecr.house.hosts.endpoint(HOME)
    return url.path


async def test_a_layer_is_downloaded_whole_and_in_ranges(ecr: EcrCalls) -> None:
    """ECR.md 1.3, "GetDownloadUrlForLayer"."""
    image = await ecr.push(APP, "v1", seed="0")
    path = await url_path(ecr, image.layers[0])
    async with serving(ecr) as base:
        status, headers, body = await fetch(base, path)
        assert (status, body) == (200, LAYER)
        assert headers["Cache-Control"].startswith("private")
        assert headers["Docker-Content-Digest"] == image.layers[0]
        status, headers, body = await fetch(base, path, Range="bytes=7-13")
        assert (status, body) == (206, LAYER[7:14])
        assert headers["Content-Range"] == f"bytes 7-13/{len(LAYER)}"
        status, headers, body = await fetch(base, path, "HEAD")
        assert (status, headers["Content-Length"], body) == (200, str(len(LAYER)), b"")
        etag = f'"{image.layers[0]}"'
        assert (await fetch(base, path, **{"If-None-Match": etag}))[0] == 304


@pytest.mark.parametrize("change", ["cut", "bent", "none"])
async def test_an_address_that_was_changed_is_nobodys(ecr: EcrCalls, change: str) -> None:
    """RELIABILITY A21: the token is all that says who asks, so it is signed."""
    image = await ecr.push(APP, "v1")
    path = await url_path(ecr, image.layers[0])
    head, body, signature = path.split(".")
    bent = {"cut": f"{head}.{body}", "bent": f"{head}.{body}x.{signature}", "none": PATH}[change]
    async with serving(ecr) as base:
        assert (await fetch(base, bent))[0] == 403


async def test_an_address_ends_and_is_not_another_token(ecr: EcrCalls) -> None:
    """ECR.md 1.3: an hour is a sane lifetime; a token for docker is none for this."""
    image = await ecr.push(APP, "v1")
    tokens = ecr.house.known.tokens
    scope = Scope("layer", f"{HOME.account}/{APP}", (image.layers[0],))
    old = tokens.issue_bearer(ME, Credential(), AUDIENCE, (scope,), time.time() - 3_601, 3_600.0)
    other = tokens.issue_bearer(ME, Credential(), "mirror", (scope,), time.time())
    async with serving(ecr) as base:
        for token in (old, other):
            assert (await fetch(base, PATH + token.text))[0] == 403


async def test_a_right_that_is_taken_away_closes_the_address(ecr: EcrCalls) -> None:
    """RELIABILITY A21: each use asks again whether that principal may."""
    image = await ecr.push(APP, "v1", seed="0")
    holders = ecr.house.known.identities.holders
    ann = user_principal(HOME.account, await holders.create_user(HOME.account, "ann", time.time()))
    await holders.put_inline(HOME.account, "user", "ann", "pull", MAY)
    path = await url_path(ecr, image.layers[0], principal=ann)
    async with serving(ecr) as base:
        assert (await fetch(base, path))[::2] == (200, LAYER)
        await holders.delete_inline(HOME.account, "user", "ann", "pull")
        status, _, body = await fetch(base, path)
        assert status == 403
        assert b"is not authorized to perform: ecr:GetDownloadUrlForLayer" in body
        await holders.delete(HOME.account, "user", "ann")
        assert (await fetch(base, path))[0] == 403


async def test_a_repository_that_is_gone_has_no_downloads(ecr: EcrCalls) -> None:
    """ECR.md 1.3: what is not there is not found, whatever was promised."""
    image = await ecr.push(APP, "v1")
    path = await url_path(ecr, image.layers[0])
    await ecr.house.repositories.delete(ecr.house.repositories.get(HOME, APP), force=True)
    async with serving(ecr) as base:
        assert (await fetch(base, path))[0] == 404


async def test_a_layer_that_no_image_names_is_inaccessible_and_an_unknown_one_not_found(ecr: EcrCalls) -> None:
    """ECR.md 1.3: LayerInaccessible and LayersNotFound; others' layers are unknown here."""
    await ecr.make("other")
    bare, others = await ecr.push_layer(APP, b"bare"), await ecr.push_layer("other", b"others")
    expected = {
        bare: "LayerInaccessibleException",
        others: "LayersNotFoundException",
        ABSENT: "LayersNotFoundException",
    }
    for digest, error in expected.items():
        assert (await ecr.refused("GetDownloadUrlForLayer", repositoryName=APP, layerDigest=digest)).type == error
    refusal = await ecr.refused("GetDownloadUrlForLayer", repositoryName=APP, layerDigest="sha256:abc")
    assert refusal.type == "InvalidParameterException"


async def test_a_foreign_layer_that_nobody_pushed_is_not_found(ecr: EcrCalls) -> None:
    """RELIABILITY A7: to name a blob is not to own it."""
    media_type = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    digest = sha256(b"elsewhere")
    text = (
        '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[{"mediaType":'
        f'"{media_type}","digest":"{digest}","size":9,"urls":["https://example.com/x"]}}]}}'
    )
    await ecr("PutImage", repositoryName=APP, imageManifest=text)
    refusal = await ecr.refused("GetDownloadUrlForLayer", repositoryName=APP, layerDigest=digest)
    assert refusal.type == "LayersNotFoundException"


async def test_a_cached_layer_is_pulled_through_by_its_address(tmp_path: Path) -> None:
    """ECR.md 2.5: an upstream that fails is UnableToGetUpstreamLayer."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1")
        async with ecr_calls(tmp_path / "data", upstreams=[cached(standin)]) as ecr:
            standin.fault = Fault(status=500, on="blob")  # the prefetch fails too
            await ecr("BatchGetImage", repositoryName=HUB, imageIds=[{"imageTag": "v1"}])
            standin.fault = None
            path = await url_path(ecr, image.layers[0], HUB)
            async with serving(ecr) as base:
                status, _, body = await fetch(base, path)
                assert (status, sha256(body)) == (200, image.layers[0])
