"""What the store takes and what is left: the disk, the files of the databases, the blobs.

Source: statvfs(3): what is free for this user is not what is free for root.
"""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mirror.store.index import Index

SLICE: Final = 5_000  # blob entries in one go: some two milliseconds of the loop


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes: free and in all on the disk, of the SQL file with its log, of the index's map used and in all."""

    disk_free: int
    disk: int
    database: int
    index_used: int
    index: int


@dataclass(frozen=True, slots=True)
class Held:
    """How many blobs are here, manifests too, and how many bytes."""

    blobs: int = 0
    size: int = 0


async def measure(root: Path, index: Index) -> Sizes:
    """Measure the store at `root`. Raises OSError."""
    disk_free, disk, database = await asyncio.to_thread(_measure_files, root)
    return Sizes(disk_free, disk, database, *index.extent())


def _measure_files(root: Path) -> tuple[int, int, int]:
    disk = os.statvfs(root)
    files = (root / name for name in ("mirror.db", "mirror.db-wal"))
    size = sum(path.stat().st_size for path in files if path.exists())
    return disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize, size


async def count_blobs(index: Index) -> Held:
    """Count what is here, in slices: others get their turns in between."""
    blobs, size, last = 0, 0, b""
    while True:
        count, total, last = index.sum_blobs(last, SLICE)
        blobs += count
        size += total
        if not last:
            return Held(blobs, size)
        await asyncio.sleep(0)
