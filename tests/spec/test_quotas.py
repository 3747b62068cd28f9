"""Quotas: pushes above them are refused in the caller's dialect, and everything else goes on (issue 5, section 2)."""

import asyncio
import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from accounts import ADMIN, HOME, REGION, Town, populated
from botocore.config import Config
from botocore.exceptions import ClientError
from pushing import ask, image_manifest, push_blob, push_image, put_manifest
from running import running

from mirror.rules.quotas import QuotaRule

NAME = "team/app"
LAYER = b"layer" * 200


def manifests(count: int) -> list[bytes]:
    """Images that differ in a byte of their annotations, of one config and one layer."""
    return [image_manifest(b"{}", [LAYER], annotations={"number": str(number)}) for number in range(count)]


async def test_a_push_above_the_quota_of_its_repository_is_denied(tmp_path: Path) -> None:
    """Issue 5: quotas per repository with clear errors; docker clients show the message of a DENIED."""
    rule = QuotaRule(repositories=("team/*",), images_max=2)
    async with running(tmp_path, quotas=(rule,)) as node:
        for name in (NAME, "team/other", "free/app"):
            for blob in (b"{}", LAYER):
                await push_blob(node, name, blob)
            *some, last = manifests(3)
            for number, manifest in enumerate(some):
                assert (await put_manifest(node, name, f"v{number}", manifest))[0] == 201
        status, _, body = await put_manifest(node, NAME, "last", last)
        assert (status, json.loads(body)["errors"]) == (
            403,
            [
                {
                    "code": "DENIED",
                    "message": "The quota of the repository with name 'team/app' in the registry with id "
                    "'000000000000' would be exceeded: it has 2 images of 2, and 1 would be added",
                }
            ],
        )
        assert (await put_manifest(node, "free/app", "last", last))[0] == 201
        # Another tag adds nothing, and what is deleted counts no more.
        assert (await put_manifest(node, NAME, "again", some[0]))[0] == 201
        assert (await ask(node, "DELETE", f"/v2/{NAME}/manifests/v1"))[0] == 202
        tags = json.loads((await ask(node, "GET", f"/v2/{NAME}/tags/list"))[2])["tags"]
        assert tags == ["again", "v0"]


async def test_a_blob_counts_once_in_a_repository_and_in_each(tmp_path: Path) -> None:
    """ECR guide, "imageSizeInBytes": what an image names; layers that images share are stored once."""
    size = len(LAYER) + len(b"{}")
    async with running(tmp_path, quotas=(QuotaRule(bytes_max=2 * size),)) as node:
        for name in ("a", "b", "c"):
            for blob in (b"{}", LAYER):
                await push_blob(node, name, blob)
        for name in ("a", "b"):
            for manifest in manifests(3):
                assert (await put_manifest(node, name, "v1", manifest))[0] == 201
        status, _, body = await put_manifest(node, "c", "v1", manifests(1)[0])
        assert status == 403
        assert f"it has {2 * size} bytes of {2 * size}, and {size} would be added" in body.decode()


async def test_pushes_at_once_do_not_pass_a_quota_together(tmp_path: Path) -> None:
    """Issue 5: a quota is a limit, however many push at once."""
    async with running(tmp_path, quotas=(QuotaRule(images_max=5),)) as node:
        for blob in (b"{}", LAYER):
            await push_blob(node, NAME, blob)
        pushes = (put_manifest(node, NAME, f"v{number}", body) for number, body in enumerate(manifests(20)))
        statuses = [status for status, _, _ in await asyncio.gather(*pushes)]
        assert set(statuses) == {201, 403}
        assert statuses.count(201) <= 5
        for number, manifest in enumerate(manifests(20)):
            await put_manifest(node, NAME, f"w{number}", manifest)
        tags = json.loads((await ask(node, "GET", f"/v2/{NAME}/tags/list"))[2])["tags"]
        assert len([tag for tag in tags if tag.startswith("w")]) == 5


async def test_an_sdk_gets_limit_exceeded_exception(tmp_path: Path) -> None:
    """ECR.md 1.1: PutImage models LimitExceededException."""
    async with populated(tmp_path, quotas=(QuotaRule(images_max=1),), home=HOME) as town:
        image = await push_image(town.client(ADMIN), NAME, "v1")
        other = json.dumps({**json.loads(image.manifest), "annotations": {"other": "1"}})
        with pytest.raises(ClientError, match="it has 1 images of 1, and 1 would be added") as refused:
            await asyncio.to_thread(put_image, town, imageManifest=other, imageTag="v2")
        assert refused.value.response["Error"]["Code"] == "LimitExceededException"
        await asyncio.to_thread(put_image, town, imageManifest=image.manifest.decode(), imageTag="v3")


def put_image(town: Town, **given: Any) -> None:
    client = boto3.client(
        "ecr",
        endpoint_url=town.node.url,
        region_name=REGION,
        aws_access_key_id=ADMIN.key_id,
        aws_secret_access_key=ADMIN.secret,
        config=Config(retries={"total_max_attempts": 1}),
    )
    client.put_image(repositoryName=NAME, **given)
