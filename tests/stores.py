"""A store on disk for tests above the store's own floor, and images that come into it as a push brings them.

async with opened(tmp_path) as store:
    digest = await push(store, OURS, "one", "v1", "latest")
"""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from registries import HOME

from mirror.oci import media
from mirror.oci.digest import Digest, digest_of
from mirror.oci.manifest import parse_manifest
from mirror.oci.names import Repository
from mirror.store.store import Store

OURS = Repository(HOME, "", "team/app")
AT = 1_573_869_274.5  # 2019-11-16T01:54:34.5Z


@asynccontextmanager
async def opened(root: Path) -> AsyncIterator[Store]:
    """Open the store at `root`; its loop ends with the block."""
    async with asyncio.TaskGroup() as group:

        def spawn(work: Coroutine[Any, Any, None], name: str) -> None:
            group.create_task(work, name=name)

        async with Store.open(root, spawn, home=HOME) as store:
            yield store


async def push(store: Store, repository: Repository, mark: str, *tags: str, at: float = AT) -> Digest:
    """Put an image without layers; another `mark` is another image."""
    config = {"mediaType": media.EMPTY, "digest": str(digest_of(b"{}")), "size": 2}
    manifest = {"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": config, "layers": []}
    body = json.dumps({**manifest, "annotations": {"mark": mark}}).encode()
    digest = digest_of(body)
    await asyncio.to_thread(store.files.write, digest, body)
    await store.catalog.put_manifest(repository, digest, parse_manifest(body), len(body), tags, at, whole=True)
    return digest


async def push_layer(store: Store, repository: Repository, data: bytes, at: float = AT) -> tuple[Digest, Digest]:
    """Put an image of one layer; return both digests."""
    layer = digest_of(data)
    await asyncio.to_thread(store.files.write, layer, data)
    await store.catalog.link_blob(repository, layer, len(data), media.OCTETS, at)
    described = {"mediaType": media.OCTETS, "digest": str(layer), "size": len(data)}
    config = {"mediaType": media.EMPTY, "digest": str(digest_of(b"{}")), "size": 2}
    manifest = {"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": config, "layers": [described]}
    body = json.dumps(manifest).encode()
    for part in (b"{}", body):
        await asyncio.to_thread(store.files.write, digest_of(part), part)
    await store.catalog.link_blob(repository, digest_of(b"{}"), 2, media.EMPTY, at)
    await store.catalog.put_manifest(repository, digest_of(body), parse_manifest(body), len(body), (), at, whole=True)
    return digest_of(body), layer
