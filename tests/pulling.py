"""Pulling as clients do, for tests: an image whole, and the moment when all of it is kept."""

import asyncio

from running import RunningNode
from standin import Image

SETTLE_S_MAX = 10.0


async def pull(node: RunningNode, image: Image, reference: str = "") -> None:
    """Pull an image by its tag (or `reference`) with all its blobs, and wait until the node keeps them."""
    for path in (f"manifests/{reference or image.tag}", *(f"blobs/{blob}" for blob in (image.config, *image.layers))):
        status, _, body = await node.fetch(f"/v2/{image.name}/{path}")
        assert status == 200, body
    await settled(node)


async def settled(node: RunningNode) -> None:
    """Wait until no fill is under way: a client has the last byte a moment before the store does, and before the row.

    That a blob belongs where it was pulled is written behind the answer too.
    """
    house = node.node._house
    assert house is not None
    async with asyncio.timeout(SETTLE_S_MAX):
        while house.blobs._answered or b"\nmirror_fills_in_flight 0.0" not in (await node.fetch("/metrics"))[2]:
            await asyncio.sleep(0.01)
