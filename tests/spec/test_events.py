"""Events of a whole node: what docker clients push is told to a webhook, as EventBridge would tell it."""

import asyncio
from pathlib import Path

from hearing import receiver
from pushing import push_image, sha256
from running import running

from mirror.config.settings import Webhook

WAIT_S_MAX = 20.0


async def test_a_push_and_a_deletion_are_told_across_a_restart(tmp_path: Path) -> None:
    """ECR.md 6.1; a node that was down tells afterwards, once, what it had not told."""
    async with receiver() as (url, told):

        async def heard() -> tuple[str, str, str | None, str]:
            kind, event = await asyncio.wait_for(told.get(), WAIT_S_MAX)
            detail = event["detail"]
            assert (event["account"], detail["repository-name"]) == ("000000000000", "team/app")
            return kind, detail["action-type"], detail.get("image-tag"), detail["image-digest"]

        async with running(tmp_path, webhooks=(Webhook(url),)) as node:
            image = await push_image(node, "team/app", "v1")
            digest = sha256(image.manifest)
            assert await heard() == ("ECR Image Action", "PUSH", "v1", digest)
        async with running(tmp_path, webhooks=(Webhook(url, filter=("ECR Image Action",)),)) as node:
            async with node.request("DELETE", f"/v2/team/app/manifests/{digest}") as response:
                assert response.status == 202
            assert await heard() == ("ECR Image Action", "DELETE", "v1", digest)
        assert told.empty()
