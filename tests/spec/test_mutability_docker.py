"""Immutable tags at the docker door: what moves, what does not, in ECR's words; and who wins a race."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Final

import msgspec
import pytest
import pytest_asyncio
from accounts import ADMIN, Client, Town, populated
from pushing import PushedImage, ask, image_manifest, push_blob, push_image, put_manifest, sha256

pytestmark = pytest.mark.asyncio(loop_scope="module")

RACERS: Final = 8


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with populated(tmp_path_factory.mktemp("town")) as town:
        yield town


async def repository(town: Town, name: str, mutability: str, *exclusions: str) -> tuple[Client, PushedImage]:
    """Make a repository with an image under `v1`, then set how its tags may move."""
    client = town.client(ADMIN)
    image = await push_image(client, name, "v1")
    await town.house.repositories.change(
        town.repository(name),
        lambda old: msgspec.structs.replace(old, mutability=mutability, exclusions=exclusions),
    )
    return client, image


async def another(client: Client, name: str, text: str) -> bytes:
    """Push the parts of another image; return its manifest."""
    config = json.dumps({"of": text}).encode()
    await push_blob(client, name, config)
    return image_manifest(config)


def taken(name: str, tag: str) -> dict[str, list[dict[str, str]]]:
    """ECR.md 3.3, table, "immutable tag"."""
    text = f"The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten because the "
    return {"errors": [{"code": "TAG_INVALID", "message": f"{text}repository is immutable."}]}


async def test_an_immutable_tag_is_not_moved(town: Town) -> None:
    """ECR.md 3.3, table: 400 TAG_INVALID with ECR's text; the tag and both images are as before."""
    client, image = await repository(town, "frozen/app", "IMMUTABLE")
    other = await another(client, "frozen/app", "other")
    status, _, body = await put_manifest(client, "frozen/app", "v1", other)
    assert (status, json.loads(body)) == (400, taken("frozen/app", "v1"))
    assert (await client.fetch("/v2/frozen/app/manifests/v1"))[2] == image.manifest
    assert (await client.fetch(f"/v2/frozen/app/manifests/{sha256(other)}"))[0] == 404
    assert (await put_manifest(client, "frozen/app", "v2", other))[0] == 201
    assert (await put_manifest(client, "frozen/app", sha256(other), other))[0] == 201


async def test_not_even_the_same_image_again(town: Town) -> None:
    """ECR.md 5 item 9: on the docker path an immutable tag refuses even the identical digest."""
    client, image = await repository(town, "frozen/same", "IMMUTABLE")
    status, _, body = await put_manifest(client, "frozen/same", "v1", image.manifest)
    assert (status, json.loads(body)) == (400, taken("frozen/same", "v1"))
    mutable, image = await repository(town, "moving/same", "MUTABLE")
    assert (await put_manifest(mutable, "moving/same", "v1", image.manifest))[0] == 201


@pytest.mark.parametrize(
    ("mutability", "exclusions", "tag", "moves"),
    [
        ("MUTABLE", (), "v1", True),
        ("IMMUTABLE", (), "latest", False),
        ("IMMUTABLE_WITH_EXCLUSION", ("latest", "dev-*"), "latest", True),
        ("IMMUTABLE_WITH_EXCLUSION", ("latest", "dev-*"), "dev-1", True),
        ("IMMUTABLE_WITH_EXCLUSION", ("latest", "dev-*"), "dev", False),
        ("IMMUTABLE_WITH_EXCLUSION", ("latest",), "latest2", False),
        ("IMMUTABLE_WITH_EXCLUSION", ("v1.0",), "v1x0", False),
        ("MUTABLE_WITH_EXCLUSION", ("v*", "release"), "v1", False),
        ("MUTABLE_WITH_EXCLUSION", ("v*", "release"), "latest", True),
    ],
)
async def test_exclusions_turn_it_round(
    town: Town, mutability: str, exclusions: tuple[str, ...], tag: str, moves: bool
) -> None:
    """ECR.md 2.7: `*` is the only special character, the whole tag is matched."""
    name = f"excluded/{sha256(repr((mutability, exclusions, tag)).encode())[7:19]}"
    client, image = await repository(town, name, mutability, *exclusions)
    first = await put_manifest(client, name, f"other-{tag}", image.manifest)
    assert first[0] == 201
    if tag != "v1":
        assert (await put_manifest(client, name, tag, image.manifest))[0] == 201
    status, _, body = await put_manifest(client, name, tag, await another(client, name, "other"))
    assert status == (201 if moves else 400), body
    assert moves or json.loads(body) == taken(name, tag)


async def test_one_frozen_tag_of_several_refuses_them_all(town: Town) -> None:
    """distribution-spec, "Pushing manifests", tag parameters: all of them, or none."""
    client, image = await repository(town, "frozen/many", "IMMUTABLE")
    other = await another(client, "frozen/many", "other")
    status, _, body = await put_manifest(client, "frozen/many", "v2?tag=v1&tag=v3", other)
    assert (status, json.loads(body)) == (400, taken("frozen/many", "v1"))
    assert (await client.fetch("/v2/frozen/many/tags/list"))[2] == b'{"name":"frozen/many","tags":["v1"]}'
    status, _, _ = await put_manifest(client, "frozen/many", f"{image.digest}?tag=v4&tag=v5", image.manifest)
    assert status == 201
    listed = json.loads((await client.fetch("/v2/frozen/many/tags/list"))[2])["tags"]
    assert listed in (["v1"], ["v1", "v4", "v5"])


async def test_an_immutable_tag_may_be_deleted_and_given_again(town: Town) -> None:
    """ECR.md 2.7: mutability is only checked by PutImage; what is free is free."""
    client, _ = await repository(town, "frozen/deleted", "IMMUTABLE")
    assert (await ask(client, "DELETE", "/v2/frozen/deleted/manifests/v1"))[0] == 202
    other = await another(client, "frozen/deleted", "other")
    assert (await put_manifest(client, "frozen/deleted", "v1", other))[0] == 201
    assert (await client.fetch("/v2/frozen/deleted/manifests/v1"))[2] == other


async def test_the_setting_holds_for_later_pushes_only(town: Town) -> None:
    """ECR.md 2.7: changing it affects the very next push, and nothing that is there."""
    client, image = await repository(town, "frozen/later", "IMMUTABLE")
    other = await another(client, "frozen/later", "other")
    repositories = town.house.repositories
    for mutability, wanted in (("IMMUTABLE", 400), ("MUTABLE", 201), ("IMMUTABLE", 400)):
        await repositories.change(
            town.repository("frozen/later"),
            lambda old, one=mutability: msgspec.structs.replace(old, mutability=one),  # type: ignore[misc]
        )
        assert (await put_manifest(client, "frozen/later", "v1", other))[0] == wanted
        assert (await client.fetch(f"/v2/frozen/later/manifests/{image.digest}"))[0] == 200


@pytest.mark.parametrize("attempt", range(5))
async def test_of_pushes_at_once_of_one_new_immutable_tag_one_wins(town: Town, attempt: int) -> None:
    """RELIABILITY A12: exactly one 201; the tag is what that one pushed, and stays it."""
    name, tag = f"race/app{attempt}", "new"
    client, _ = await repository(town, name, "IMMUTABLE")
    manifests = [await another(client, name, f"racer {number}") for number in range(RACERS)]
    answers = await asyncio.gather(*(put_manifest(client, name, tag, one) for one in manifests))
    won = [manifest for manifest, answer in zip(manifests, answers, strict=True) if answer[0] == 201]
    assert len(won) == 1
    assert all(json.loads(body) == taken(name, tag) for status, _, body in answers if status != 201)
    assert (await client.fetch(f"/v2/{name}/manifests/{tag}"))[2] == won[0]
