"""A process that pushes until it is killed: prints the digest of each blob and manifest once its push is answered."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from mirror.oci import media
from mirror.oci.digest import Digest, digest_of
from mirror.oci.manifest import parse_manifest
from mirror.oci.names import Registry, Repository
from mirror.store.store import Store

HOME = Registry("000000000000")
OURS = Repository(HOME, "", "team/app")
AT = 1_700_000_000.0


def say(digest: Digest) -> None:
    """Write whole lines in one call: a line that the parent reads was acknowledged."""
    os.write(1, f"{digest}\n".encode())


async def once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def push_blob(store: Store, data: bytes) -> dict[str, object]:
    upload = store.uploads.create(OURS)
    await upload.append(once(data))
    digest = digest_of(data)
    entry = await upload.finish(digest)
    await store.catalog.link_blob(OURS, digest, entry.size, media.OCTETS, AT, blob=entry)
    say(digest)
    return {"mediaType": media.OCTETS, "digest": str(digest), "size": len(data)}


async def push_images(store: Store, worker: int) -> None:
    for number in range(10_000):
        layers = [await push_blob(store, os.urandom(size)) for size in (100, 100_000)]
        body = json.dumps({"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "layers": layers}).encode()
        digest, tag = digest_of(body), f"w{worker}-{number}"
        await asyncio.to_thread(store.files.write, digest, body)
        await store.catalog.put_manifest(OURS, digest, parse_manifest(body), len(body), [tag], AT, whole=True)
        say(digest)


async def main() -> None:
    async with (
        asyncio.TaskGroup() as group,
        Store.open(Path(sys.argv[1]), lambda work, name: group.create_task(work, name=name), home=HOME) as store,
    ):
        await asyncio.gather(*(push_images(store, worker) for worker in range(4)))


if __name__ == "__main__":
    asyncio.run(main())
