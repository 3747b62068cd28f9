"""Catalogue data: of repositories, of registries, and the logos that browsers are given."""

import struct
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web
from registries import HOME

from mirror.oci.errors import RegistryError
from mirror.web.ecr_public.catalog_data import Logos

TEXTS = {
    "description": "An app",
    "architectures": ["ARM 64", "x86-64", "PDP-11"],
    "operatingSystems": ["Linux"],
    "aboutText": "# About",
    "usageText": "Run it.",
}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(side: int = 60) -> bytes:
    """A picture of one colour."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * (side + 1) * side)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@asynccontextmanager
async def serving(public: Any) -> AsyncIterator[str]:
    logos = Logos(public.ecr.house.repositories, public.ecr.gallery)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await logos.get(request)
        except RegistryError as error:
            return web.Response(status=error.status)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def fetch(url: str, method: str = "GET", **headers: str) -> tuple[int, Mapping[str, str], bytes]:
    async with aiohttp.ClientSession() as session, session.request(method, url, headers=headers) as response:
        return response.status, response.headers, await response.read()


async def test_a_repository_is_made_with_what_it_says_of_itself(public: Any) -> None:
    """ECR.md 2.10: unknown labels are stored too."""
    made = await public("CreateRepository", repositoryName="app", catalogData=TEXTS)
    assert made["catalogData"] == TEXTS
    assert await public("GetRepositoryCatalogData", repositoryName="app") == {"catalogData": TEXTS}


async def test_bad_catalogue_data_makes_no_repository(public: Any) -> None:
    """ECR.md 2.10: the limits; a logo is a PNG of 60 to 2,048 pixels."""
    for data in ({"logoImageBlob": b"GIF89a"}, {"logoImageBlob": png(59)}, {"description": "x" * 1_025}):
        refusal = await public.refused("CreateRepository", repositoryName="app", catalogData=data)
        assert refusal.type == "InvalidParameterException"
    assert (await public("DescribeRepositories"))["repositories"] == []


async def test_given_members_replace_and_others_stay(public: Any) -> None:
    """ECR.md 2.10, PutRepositoryCatalogData."""
    await public("CreateRepository", repositoryName="app", catalogData=TEXTS)
    change = {"description": "Another", "architectures": []}
    answer = await public("PutRepositoryCatalogData", repositoryName="app", catalogData=change)
    expected = {**TEXTS, "description": "Another"}
    del expected["architectures"]
    assert answer["catalogData"] == expected
    assert (await public("GetRepositoryCatalogData", repositoryName="app"))["catalogData"] == expected


async def test_what_was_never_described_has_no_catalogue_data(public: Any) -> None:
    """ECR.md 2.10: RepositoryCatalogDataNotFound."""
    await public("CreateRepository", repositoryName="app")
    refusal = await public.refused("GetRepositoryCatalogData", repositoryName="app")
    assert refusal.type == "RepositoryCatalogDataNotFoundException"
    for operation, more in (("GetRepositoryCatalogData", {}), ("PutRepositoryCatalogData", {"catalogData": {}})):
        refusal = await public.refused(operation, repositoryName="nope", **more)
        assert refusal.type == "RepositoryNotFoundException"


async def test_a_logo_is_served_as_the_picture_that_it_is(public: Any) -> None:
    """ECR.md 2.10: `logoUrl`; browsers may not guess what it is."""
    await public("CreateRepository", repositoryName="team/app", catalogData={"logoImageBlob": png()})
    data = (await public("GetRepositoryCatalogData", repositoryName="team/app"))["catalogData"]
    assert data == {"logoUrl": f"http://public.localhost/logos/{HOME.account}/team/app"}
    async with serving(public) as base:
        url = base + urlsplit(data["logoUrl"]).path
        status, headers, body = await fetch(url)
        assert (status, body) == (200, png())
        assert (headers["Content-Type"], headers["X-Content-Type-Options"]) == ("image/png", "nosniff")
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        status, head, body = await fetch(url, "HEAD")
        assert (status, head["Content-Length"], body) == (200, str(len(png())), b"")
        assert (await fetch(url, **{"If-None-Match": headers["ETag"]}))[0] == 304


async def test_a_logo_is_replaced_and_stays_while_texts_change(public: Any) -> None:
    """ECR.md 2.10: given members replace."""
    await public("CreateRepository", repositoryName="app", catalogData={"logoImageBlob": png()})
    await public("PutRepositoryCatalogData", repositoryName="app", catalogData={"aboutText": "x"})
    async with serving(public) as base:
        url = f"{base}/logos/{HOME.account}/app"
        assert (await fetch(url))[2] == png()
        await public("PutRepositoryCatalogData", repositoryName="app", catalogData={"logoImageBlob": png(61)})
        assert (await fetch(url))[2] == png(61)
        await public("DeleteRepository", repositoryName="app")
        await public("CreateRepository", repositoryName="app")
        assert (await fetch(url))[0] == 404


@pytest.mark.parametrize("path", ["", "x", "000000000000", "000000000000/", "000000000000/nope", "1/app", "x/../app"])
async def test_what_is_no_logo_is_not_found(public: Any, path: str) -> None:
    """RELIABILITY A1: a path is read by its grammar before anything is looked up."""
    await public("CreateRepository", repositoryName="app")
    async with serving(public) as base:
        assert (await fetch(f"{base}/logos/{path}"))[0] == 404


async def test_a_registry_has_a_name_and_a_card(public: Any) -> None:
    """ECR.md 2.10, DescribeRegistries and registry catalogue data."""
    made = (await public("CreateRepository", repositoryName="app"))["repository"]
    alias = made["repositoryUri"].split("/")[1]
    assert await public("DescribeRegistries") == {
        "registries": [
            {
                "registryId": HOME.account,
                "registryArn": f"arn:aws:ecr-public::{HOME.account}:registry/{HOME.account}",
                "registryUri": f"public.localhost/{alias}",
                "verified": False,
                "aliases": [
                    {
                        "name": alias,
                        "status": "ACTIVE",
                        "primaryRegistryAlias": True,
                        "defaultRegistryAlias": True,
                    }
                ],
            }
        ]
    }
    assert await public("GetRegistryCatalogData") == {"registryCatalogData": {}}
    named = {"registryCatalogData": {"displayName": "We"}}
    assert await public("PutRegistryCatalogData", displayName="We") == named
    assert await public("PutRegistryCatalogData") == named
    assert await public("GetRegistryCatalogData") == named
    assert (await public.refused("PutRegistryCatalogData", displayName="x" * 101)).type == "InvalidParameterException"
