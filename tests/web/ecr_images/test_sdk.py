"""A real SDK over loopback: whole pushes, its paginators and its waiter."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import boto3
import pytest
from aiohttp import web
from botocore.config import Config
from botocore.exceptions import ClientError
from ecr_calls import APP, ME, MODELS, EcrCalls

from mirror.web.aws.bodies import Bodies
from mirror.web.aws.json11 import JsonApi
from mirror.web.aws.reception import Reception
from mirror.web.server import Server
from mirror.web.slow import SlowClock

SESSION = boto3.session.Session()  # its loader remembers the models
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
PART = 5 * 1024 * 1024
KEEP_ONE = {
    "rules": [
        {
            "rulePriority": 1,
            "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1},
            "action": {"type": "expire"},
        }
    ]
}


class NoKeys:
    """Nobody has a key: the callers here are trusted."""

    async def find(self, claim: object) -> Any:
        raise AssertionError(claim)


Use = Callable[[Callable[[Any], Any]], Any]


@asynccontextmanager
async def sdk(ecr: EcrCalls, service: str = "ecr") -> AsyncIterator[Use]:
    """Serve, and give what runs some work with a client in a thread."""
    slow = SlowClock()
    reception = Reception(
        MODELS,
        ecr.handlers,
        NoKeys(),
        lambda call: None,
        lambda call, error: None,
        regions=("us-east-1",),
        bodies=Bodies(slow),
    )
    api = JsonApi(reception)

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return await api.handle(request, ME)

    server = Server(handle, express=None, slow=slow, connections_max=64)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
    client = SESSION.client(
        service,  # type: ignore[call-overload]
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
        config=Config(retries={"max_attempts": 0}, proxies={}),
    )

    async def use(work: Callable[[Any], Any]) -> Any:
        return await asyncio.to_thread(work, client)

    try:
        yield use
    finally:
        client.close()
        listening.close()
        server.pre_shutdown()
        await server.shutdown(1.0)


def push(client: Any, name: str, tag: str, layer: bytes) -> str:
    """Push as a tool that has only the API: check, upload in parts, put."""
    digest = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    [checked] = client.batch_check_layer_availability(repositoryName=name, layerDigests=[digest])["layers"]
    if checked["layerAvailability"] == "UNAVAILABLE":
        upload = client.initiate_layer_upload(repositoryName=name)["uploadId"]
        for at in range(0, len(layer), PART):
            part = layer[at : at + PART]
            last = at + len(part) - 1
            received = client.upload_layer_part(
                repositoryName=name, uploadId=upload, partFirstByte=at, partLastByte=last, layerPartBlob=part
            )
            assert received["lastByteReceived"] == last
        client.complete_layer_upload(repositoryName=name, uploadId=upload, layerDigests=[digest])
    described = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": len(layer)}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [described]})
    put = client.put_image(repositoryName=name, imageManifest=manifest, imageTag=tag)
    assert put["image"]["imageManifest"] == manifest
    return str(put["image"]["imageId"]["imageDigest"])


async def test_a_tool_that_has_only_the_api_pushes_and_pulls(ecr: EcrCalls) -> None:
    """ECR.md 1.3, "Layer upload, JSON API", from check to put; 5 item 1: times that an SDK reads."""
    layer = b"x" * (PART + 7)

    def work(client: Any) -> None:
        digest = push(client, APP, "v1", layer)
        [detail] = client.describe_images(repositoryName=APP)["imageDetails"]
        assert detail["imagePushedAt"].timestamp() > 1_700_000_000
        assert (detail["imageDigest"], detail["imageSizeInBytes"]) == (digest, len(layer))
        [image] = client.batch_get_image(repositoryName=APP, imageIds=[{"imageTag": "v1"}])["images"]
        named = json.loads(image["imageManifest"])["layers"][0]["digest"]
        assert client.get_download_url_for_layer(repositoryName=APP, layerDigest=named)["downloadUrl"]

    async with sdk(ecr) as use:
        await use(work)


async def test_a_refused_part_tells_the_sdk_where_to_go_on(ecr: EcrCalls) -> None:
    """ECR.md 5 item 11: the modelled members of the exception."""

    def work(client: Any) -> None:
        upload = client.initiate_layer_upload(repositoryName=APP)["uploadId"]
        asked = {"repositoryName": APP, "uploadId": upload}
        client.upload_layer_part(partFirstByte=0, partLastByte=2, layerPartBlob=b"abc", **asked)
        with pytest.raises(client.exceptions.InvalidLayerPartException) as raised:
            client.upload_layer_part(partFirstByte=9, partLastByte=9, layerPartBlob=b"x", **asked)
        assert raised.value.response["lastValidByteReceived"] == 2
        assert raised.value.response["uploadId"] == upload

    async with sdk(ecr) as use:
        await use(work)


async def test_paginators_and_the_waiter_work(ecr: EcrCalls) -> None:
    """ECR.md 1.3: the boto3 paginators and waiters that must work."""

    def work(client: Any) -> None:
        digests = {push(client, APP, f"v{number}", b"layer %d" % number) for number in range(5)}
        pages = {"PageSize": 2}
        listed = client.get_paginator("list_images").paginate(repositoryName=APP, PaginationConfig=pages)
        assert {one["imageDigest"] for page in listed for one in page["imageIds"]} == digests
        described = client.get_paginator("describe_images").paginate(repositoryName=APP, PaginationConfig=pages)
        assert {one["imageDigest"] for page in described for one in page["imageDetails"]} == digests
        text = json.dumps(KEEP_ONE, indent=4)
        client.start_lifecycle_policy_preview(repositoryName=APP, lifecyclePolicyText=text)
        client.get_waiter("lifecycle_policy_preview_complete").wait(
            repositoryName=APP, WaiterConfig={"Delay": 0.01, "MaxAttempts": 500}
        )
        results = client.get_paginator("get_lifecycle_policy_preview").paginate(
            repositoryName=APP, PaginationConfig=pages
        )
        assert sum(len(page["previewResults"]) for page in results) == 4

    async with sdk(ecr) as use:
        await use(work)


async def test_the_public_service_works_with_its_sdk(ecr: EcrCalls) -> None:
    """ECR.md 1.1, ecr-public, and its paginators."""

    def work(client: Any) -> None:
        for name in ("one", "two", "three"):
            client.create_repository(repositoryName=name, catalogData={"description": name})
        digest = push(client, "one", "v1", b"public layer")
        pages = {"PageSize": 1}
        found = client.get_paginator("describe_repositories").paginate(PaginationConfig=pages)
        assert [one["repositoryName"] for page in found for one in page["repositories"]] == ["one", "three", "two"]
        found = client.get_paginator("describe_image_tags").paginate(repositoryName="one", PaginationConfig=pages)
        assert [one["imageTag"] for page in found for one in page["imageTagDetails"]] == ["v1"]
        found = client.get_paginator("describe_images").paginate(repositoryName="one", PaginationConfig=pages)
        assert [one["imageDigest"] for page in found for one in page["imageDetails"]] == [digest]
        [registry] = client.get_paginator("describe_registries").paginate().build_full_result()["registries"]
        assert registry["aliases"][0]["defaultRegistryAlias"] is True
        with pytest.raises(ClientError, match="RepositoryNotEmptyException"):
            client.delete_repository(repositoryName="one")

    async with sdk(ecr, "ecr-public") as use:
        await use(work)
