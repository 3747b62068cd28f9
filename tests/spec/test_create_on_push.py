"""A push to a repository that is not there: refused, unless a template or the configuration makes it."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import pytest
from accounts import (
    ADMIN,
    DOMAIN,
    NOBODY,
    OTHER,
    OWNER,
    PULLER,
    STRANGER,
    Person,
    Town,
    allow,
    host_of,
    policy,
    populated,
)
from pushing import ask, code_of, image_manifest, push_blob, push_image, put_manifest, sha256

from mirror.config.settings import Home
from mirror.oci.names import Registry
from mirror.registry.repositories import TEMPLATE
from mirror.rules.repositories import RepositorySettings
from mirror.rules.templates import Template
from mirror.store.documents import Edit
from mirror.store.lifecycles import LIFECYCLE

HOME: Final = Home(account=OWNER, domain=DOMAIN)  # create_on_push is false: as ECR has it
NAME: Final = "prod/team/app"
UPLOADS: Final = ("ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage")
NO_MAKER: Final = Person(OWNER, "nomaker", inline=(allow(None, *UPLOADS),))
PEOPLE: Final = (ADMIN, PULLER, NOBODY, STRANGER, NO_MAKER)
Cause = Literal["PULL_THROUGH_CACHE", "REPLICATION", "CREATE_ON_PUSH"]


async def put_template(town: Town, prefix: str, *causes: Cause, account: str = OWNER, **more: Any) -> None:
    body = msgspec.json.encode(Template(prefix, causes, 1.0, 1.0, **more))
    await town.house.store.documents.write([Edit(Registry(account), TEMPLATE, prefix, body)])


async def refused(town: Town, name: str, requests: Iterable[tuple[str, str]] = (("POST", "blobs/uploads/"),)) -> bool:
    """Tell whether the first steps of a push are 404 NAME_UNKNOWN in ECR's words, and have made nothing."""
    client = town.client(ADMIN)
    for method, path in requests:
        status, _, body = await ask(client, method, f"/v2/{name}/{path}")
        wanted = f"The repository with name '{name}' does not exist in the registry with id '{OWNER}'"
        if (status, code_of(body)) != (404, "NAME_UNKNOWN") or wanted not in body.decode():
            return False
    return f'"{name}"' not in (await client.fetch("/v2/_catalog?n=1000"))[2].decode()


async def test_a_push_to_a_missing_repository_is_refused(tmp_path: Path) -> None:
    """ECR.md 3.3, last quirk, and 5 item 17: 404 NAME_UNKNOWN on the first POST, whatever the push begins with."""
    async with populated(tmp_path, people=PEOPLE, home=HOME) as town:
        digest = sha256(b"x")
        steps = ["", f"?digest={digest}", f"?mount={digest}&from=other/app", f"?mount={digest}"]
        assert await refused(town, NAME, [("POST", f"blobs/uploads/{step}") for step in steps])
        assert await refused(town, NAME, [("POST", "blobs/uploads"), ("PUT", "manifests/v1")])
        assert (await ask(town.client(ADMIN), "HEAD", f"/v2/{NAME}/manifests/v1"))[0] == 404
        status, _, body = await ask(town.client(NOBODY), "POST", f"/v2/{NAME}/blobs/uploads/")
        assert (status, code_of(body)) == (403, "DENIED")
        status, _, body = await ask(town.client(), "POST", f"/v2/{NAME}/blobs/uploads/")
        assert status == 401


async def test_a_repository_that_was_made_takes_the_push(tmp_path: Path) -> None:
    """ECR.md 5 item 17: CreateRepository first, then docker push."""
    async with populated(tmp_path, people=PEOPLE, home=HOME) as town:
        assert await refused(town, NAME)
        await town.house.repositories.create(Registry(OWNER), NAME, RepositorySettings(1.0))
        await push_image(town.client(NO_MAKER), NAME, "v1")
        await town.house.repositories.delete(town.repository(NAME), force=True)
        assert await refused(town, NAME)


async def test_a_session_does_not_bring_a_deleted_repository_back(tmp_path: Path) -> None:
    """RELIABILITY A8: opened before the repository was deleted, finished after: nothing is made."""
    async with populated(tmp_path, people=PEOPLE, home=HOME) as town:
        client = town.client(ADMIN)
        await town.house.repositories.create(Registry(OWNER), NAME, RepositorySettings(1.0))
        status, headers, _ = await ask(client, "POST", f"/v2/{NAME}/blobs/uploads/")
        assert status == 202
        await town.house.repositories.delete(town.repository(NAME), force=True)
        assert (await ask(client, "PATCH", headers["Location"], data=b"late"))[0] == 404
        assert (await ask(client, "PUT", f"{headers['Location']}?digest={sha256(b'late')}"))[0] == 404
        assert await refused(town, NAME)


@pytest.mark.parametrize(
    ("prefix", "name", "made"),
    [
        ("prod", "prod/app", True),
        ("prod", "prod/team/app", True),
        ("prod", "production/app", False),
        ("prod", "prod", False),
        ("prod", "a/prod/app", False),
        ("prod/team", "prod/teams/app", False),
        ("ROOT", "any/thing", True),
        ("ROOT", "short", True),
    ],
)
async def test_a_template_makes_what_its_prefix_covers(tmp_path: Path, prefix: str, name: str, made: bool) -> None:
    """ECR.md 2.6: an implied slash; ROOT is for all others."""
    async with populated(tmp_path, people=PEOPLE, home=HOME) as town:
        await put_template(town, prefix, "CREATE_ON_PUSH")
        if made:
            await push_image(town.client(ADMIN), name, "v1")
            assert town.repository(name).name == name
        else:
            assert await refused(town, name)


async def test_a_template_for_something_else_makes_nothing_on_push(tmp_path: Path) -> None:
    """ECR.md 2.6: appliedFor."""
    async with populated(tmp_path, people=PEOPLE, home=HOME) as town:
        await put_template(town, "prod", "PULL_THROUGH_CACHE", "REPLICATION")
        assert await refused(town, NAME)
        await put_template(town, "ROOT", "CREATE_ON_PUSH", account=OTHER)
        assert await refused(town, NAME)
        image = await push_image(town.client(STRANGER, host=host_of(OTHER)), NAME, "v1")
        assert (await town.client(ADMIN).fetch(f"/v2/{NAME}/manifests/{image.digest}"))[0] == 404


async def test_what_is_made_has_the_settings_of_the_longest_prefix(tmp_path: Path) -> None:
    """ECR.md 2.6: the longest prefix wins, ROOT last; settings, tags, both policies; only at the creation."""
    lifecycle = '{"rules":[]}'
    async with populated(tmp_path, people=PEOPLE, home=HOME) as town:
        await put_template(town, "ROOT", "CREATE_ON_PUSH", tags={"from": "root"})
        await put_template(town, "prod", "CREATE_ON_PUSH", tags={"from": "prod"})
        await put_template(
            town,
            "prod/team",
            "CREATE_ON_PUSH",
            "REPLICATION",
            mutability="IMMUTABLE",
            tags={"from": "team"},
            repository_policy=policy(allow(NOBODY.arn, "ecr:BatchGetImage")),
            lifecycle_policy=lifecycle,
        )
        client, repositories = town.client(ADMIN), town.house.repositories
        for name, found in ((NAME, "team"), ("prod/teams/app", "prod"), ("else/app", "root")):
            await push_image(client, name, "v1")
            assert repositories.settings(town.repository(name)).tags == {"from": found}
        made = repositories.settings(town.repository(NAME))
        assert made.mutability == "IMMUTABLE"
        assert (await town.client(NOBODY).fetch(f"/v2/{NAME}/manifests/v1"))[0] == 200
        assert (await put_manifest(client, NAME, "v1", image_manifest(b"{}")))[0] in (400, 404)
        kept = await town.house.store.catalog.document(town.repository(NAME), LIFECYCLE)
        assert kept is not None
        assert lifecycle in str(kept)
        await put_template(town, "prod/team", "CREATE_ON_PUSH", tags={"from": "later"})
        await push_blob(client, NAME, b"another layer")
        assert repositories.settings(town.repository(NAME)) == made


async def test_making_takes_the_right_to_make(tmp_path: Path) -> None:
    """ECR.md 2.1, "Action map": create-on-push also ecr:CreateRepository; without it the repository is missing."""
    async with populated(tmp_path, people=PEOPLE, home=HOME) as town:
        await put_template(town, "prod", "CREATE_ON_PUSH")
        status, _, body = await ask(town.client(NO_MAKER), "POST", f"/v2/{NAME}/blobs/uploads/")
        assert (status, code_of(body)) == (404, "NAME_UNKNOWN")
        await push_image(town.client(ADMIN), NAME, "v1")
        await push_image(town.client(NO_MAKER), NAME, "v2")


async def test_the_configuration_may_let_every_push_make_its_repository(tmp_path: Path) -> None:
    """Configuration, [registry] create_on_push: as small registries have it, by who may create."""
    home = Home(account=OWNER, domain=DOMAIN, create_on_push=True)
    async with populated(tmp_path, people=PEOPLE, home=home) as town:
        status, _, body = await ask(town.client(NO_MAKER), "POST", f"/v2/{NAME}/blobs/uploads/")
        assert (status, code_of(body)) == (404, "NAME_UNKNOWN")
        image = await push_image(town.client(ADMIN), NAME, "v1")
        assert (await town.client(PULLER).fetch(f"/v2/{NAME}/manifests/v1"))[2] == image.manifest


async def test_a_push_that_only_begins_makes_nothing(tmp_path: Path) -> None:
    """ECR.md 2.6: the repository comes with the first layer or image, not with a session that is never finished."""
    async with populated(tmp_path, people=PEOPLE, home=HOME) as town:
        await put_template(town, "prod", "CREATE_ON_PUSH")
        client = town.client(ADMIN)
        _, headers, _ = await ask(client, "POST", f"/v2/{NAME}/blobs/uploads/")
        assert (await ask(client, "DELETE", headers["Location"]))[0] == 204
        assert NAME not in (await client.fetch("/v2/_catalog"))[2].decode()


async def test_pushes_at_once_make_one_repository(tmp_path: Path) -> None:
    """ECR.md 2.6: applied only at creation; ten first layers at once end as ten layers of one repository."""
    async with populated(tmp_path, people=PEOPLE, home=HOME) as town:
        await put_template(town, "prod", "CREATE_ON_PUSH", tags={"made": "once"})
        client = town.client(ADMIN)
        layers = [f"layer {number}".encode() for number in range(10)]
        digests = await asyncio.gather(*(push_blob(client, NAME, layer) for layer in layers))
        assert town.house.repositories.settings(town.repository(NAME)).tags == {"made": "once"}
        for digest in digests:
            assert (await client.fetch(f"/v2/{NAME}/blobs/{digest}"))[0] == 200
