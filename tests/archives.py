"""A store with an archive, for tests: its images put there and back, and where their bytes are.

async with archived(root, disk) as store:
    await turn(store, OURS, image, "ARCHIVED")
    await archivist(store).work()
    assert await is_in_archive(store, disk)
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

from mirror.jobs.archive import Archivist
from mirror.oci.digest import digest_of
from mirror.oci.names import Repository
from mirror.registry.pacing import Clients
from mirror.store.examination import Fault
from mirror.store.store import Store
from mirror.store.verify import Verification

LAYERS = tuple(Random(number).randbytes(100_000) for number in range(2))
FIRST = digest_of(LAYERS[0])
AT = 1_800_000_000.0  # long after the pushes of these tests


@asynccontextmanager
async def archived(root: Any, disk: Path | None, **options: Any) -> AsyncIterator[Store]:
    """Open a store with its archive."""
    async with root.open(archive_root=disk, **options) as store:
        yield store


def archivist(store: Store) -> Archivist:
    return Archivist(store.archiving, Clients(), clock=lambda: AT, page_pause_s=0.0)


async def turn(store: Store, repository: Repository, image: Any, status: Any) -> None:
    assert await store.images.set_status(repository, image.digest, status, AT)


async def put_away(store: Store, push: Any, repository: Repository, image: Any) -> None:
    """Push an image, archive it, and have its bytes moved."""
    await push.image(store, repository, image)
    await turn(store, repository, image, "ARCHIVED")
    await archivist(store).work()


def on(disk: Path) -> dict[str, bytes]:
    """What lies on the archive's disk, half copied files too. A living node moves files away meanwhile."""
    found = {}
    for path in disk.rglob("*"):
        with suppress(FileNotFoundError, IsADirectoryError):
            found[path.name] = path.read_bytes()
    return found


async def stored(store: Store) -> bytes | None:
    return await asyncio.to_thread(store.files.read, FIRST)


async def is_in_archive(store: Store, disk: Path, data: bytes = LAYERS[0]) -> bool:
    """Tell which of two places has some bytes: exactly one has, and the store gives them in either case."""
    digest, files = digest_of(data), store.files
    assert await asyncio.to_thread(files.read, digest) == data
    is_there = on(disk).get(digest.hex) == data
    assert is_there == await asyncio.to_thread(files.is_linked, digest)
    return is_there


async def faults(store: Store) -> list[Fault]:
    return [fault async for fault in Verification(store).faults()]
