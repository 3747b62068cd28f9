"""What the store takes and what is left: the disk, the files of the databases, the blobs."""

import asyncio
from dataclasses import dataclass
from typing import Final

from mirror.store.files import Files
from mirror.store.index import Index

_SQL: Final = ("mirror.db", "mirror.db-wal")


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes: free and in all on the disk, of the SQL file with its log, of the index's map used and in all.

    And how many blobs are here, manifests too, with their bytes.
    """

    disk_free: int = 0
    disk: int = 0
    database: int = 0
    index_used: int = 0
    index: int = 0
    blobs: int = 0
    blob_bytes: int = 0


async def measure(files: Files, index: Index) -> Sizes:
    """Measure the store. Raises OSError."""
    disk_free, disk = await asyncio.to_thread(files.room)
    database = await asyncio.to_thread(_size, files)
    return Sizes(disk_free, disk, database, *index.extent(), index.blob_count(), index.blob_bytes())


def _size(files: Files) -> int:
    paths = (files.root / name for name in _SQL)
    return sum(path.stat().st_size for path in paths if path.exists())
