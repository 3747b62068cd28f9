"""Backups: a directory with a copy of the database and every blob that it names, taken while the node serves.

    DIR/backup.json             what this backup is; it alone says which database counts
    DIR/mirror-<number>.db      the database at one moment
    DIR/blobs/<algorithm>/<2 hex>/<hex>
    DIR/backup.lock, partial/   who writes here; files being written
    DIR/secrets.key             only where it was asked for: what opens the secrets in the database

First the database, then the blobs that it names: a push writes its blobs before it is in the database, so all of them
are there. One that is deleted, collected or evicted in between is named by that copy and gone from the disk. Then the
database is copied again and the rest is brought: a round that has little to bring leaves no time for a deletion, and
what the second copy names and the disk still does not have was lost before. No hold on the node's own work is needed.

The manifest is renamed into place last and old files go after that: DIR is at each moment one whole backup, the old one
or the new. A backup into the same DIR brings only what is new.
"""

import asyncio
import errno
import hashlib
import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from mirror import __version__
from mirror.store.disk import DIRECTORY_MODE, make_directory, open_private, sync_directory
from mirror.store.files import Files, take_lock
from mirror.store.named import Named
from mirror.store.shelves import Brought, Progress, Shelves, blobs_of

FORMAT: Final = 1
ROUNDS_MAX: Final = 5  # each brings what the one before could not: the second is short, the third hardly ever needed
MANIFEST: Final = "backup.json"
_LIVE: Final = "mirror.db"  # of a store
_LOCK: Final = "backup.lock"
_PARTIAL: Final = "partial"
_DATABASES: Final = "mirror-*.db"

Snapshot = Callable[[], Awaitable[Path]]


class Manifest(msgspec.Struct, frozen=True):
    """What a backup is: `version` of the node, `taken_at` in unix seconds, `size` in bytes of its blobs.

    `missing` counts blobs of our own repositories that the node itself had lost.
    """

    format: int
    version: str
    taken_at: float
    database: str
    database_sha256: str
    seq: int
    repositories: int
    manifests: int
    tags: int
    blobs: int
    size: int
    missing: int


class Shelf:
    """One backup's directory, held by this process. Use with `async with Shelf.open(directory)`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.partial = directory / _PARTIAL

    @classmethod
    @asynccontextmanager
    async def open(cls, directory: Path) -> AsyncIterator["Shelf"]:
        """Make the directory, or take up an earlier backup. Raises FileExistsError, StoreLocked, OSError."""
        shelf = cls(directory)
        lock = await asyncio.to_thread(shelf._hold)
        try:
            yield shelf
        finally:
            await asyncio.to_thread(os.close, lock)

    def _hold(self) -> int:
        self.directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        # What no manifest names is removed in the end: never in somebody else's directory.
        if any(self.directory.iterdir()) and not (self.directory / _LOCK).exists():
            raise FileExistsError(errno.EEXIST, "not empty, and no backup", str(self.directory))
        lock = take_lock(self.directory / _LOCK)
        shutil.rmtree(self.partial, ignore_errors=True)
        make_directory(self.partial)
        return lock

    def commit(self, taken: Path, shelves: Shelves, brought: Brought, named: Named, beside: Sequence[Path]) -> Manifest:
        """Make what was brought, with the files `beside` it, the backup that counts. Blocks."""
        counts, now = named.counts(), time.time_ns()
        database = self.directory / f"mirror-{now}.db"
        shelves.bring_file(taken, database, copied=True)
        for path in beside:
            shelves.bring_file(path, self.directory / path.name, copied=True)
        manifest = Manifest(
            format=FORMAT,
            version=__version__,
            taken_at=now / 1e9,
            database=database.name,
            database_sha256=_sha256(database),
            seq=counts.seq,
            repositories=counts.repositories,
            manifests=counts.manifests,
            tags=counts.tags,
            blobs=brought.blobs,
            size=brought.size,
            missing=len(brought.missing),
        )
        self._write(manifest)
        for old in self.directory.glob(_DATABASES):
            if old != database:
                old.unlink(missing_ok=True)
        return manifest

    def _write(self, manifest: Manifest) -> None:
        # The database's name before the manifest that names it.
        sync_directory(self.directory)
        staged = self.partial / MANIFEST
        with open_private(staged) as file:
            file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        staged.replace(self.directory / MANIFEST)
        sync_directory(self.directory)


async def back_up(
    root: Path,
    directory: Path,
    snapshot: Snapshot,
    progress: Progress,
    *,
    copied: bool = False,
    beside: Sequence[Path] = (),
) -> tuple[Manifest, Brought]:
    """Back up the store at `root`; `snapshot` makes a copy of its database and says where, and it is removed here.

    Further files, `beside`, are copied under their own names.
    Raises FileExistsError for a directory of other things, StoreLocked for one in use, StorageFull and OSError.
    """
    async with Shelf.open(directory) as shelf:
        shelves = Shelves(blobs_of(root), blobs_of(directory), shelf.partial, copied)
        missing = None
        for rounds_left in reversed(range(ROUNDS_MAX)):
            taken = await snapshot()
            try:
                async with Named.open(taken) as named:
                    brought = await shelves.bring(named, progress)
                    if brought.missing and brought.missing != missing and rounds_left:
                        missing = brought.missing
                        continue
                    manifest = await asyncio.to_thread(shelf.commit, taken, shelves, brought, named, beside)
                    await shelves.sweep(named)
                    break
            finally:
                await asyncio.to_thread(taken.unlink, missing_ok=True)
        return manifest, brought


def read_manifest(directory: Path) -> Manifest:
    """Read what backup is in `directory`. Blocks. Raises OSError where none is whole, or it cannot be read."""
    path = directory / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except msgspec.DecodeError as error:
        raise OSError(errno.EINVAL, f"no manifest of a backup: {error}", str(path)) from None
    if manifest.format != FORMAT:
        raise OSError(errno.EINVAL, f"a backup of format {manifest.format}, this release reads {FORMAT}", str(path))
    database = directory / manifest.database
    if database.parent != directory or _sha256(database) != manifest.database_sha256:
        raise OSError(errno.EIO, "not the database that was backed up", str(database))
    return manifest


async def bring_back(
    directory: Path, root: Path, progress: Progress, *, copied: bool = False, beside: Sequence[str] = ()
) -> Brought:
    """Put the files and the database of a backup into the store at `root`, which must not have a database.

    Files `beside` them come too where the backup has them and the root does not. The database comes last: a restore
    that was broken off goes on where it was. The index is for the caller to build.
    Raises FileExistsError for a store that is there, StoreLocked, StorageFull and OSError.
    """
    manifest = await asyncio.to_thread(read_manifest, directory)
    if await asyncio.to_thread((root / _LIVE).exists):
        raise FileExistsError(errno.EEXIST, "there is a store here: a backup is restored into a new one", str(root))
    files = await asyncio.to_thread(Files, root)
    try:
        shelves = Shelves(blobs_of(directory), blobs_of(root), files.writes, copied)
        async with Named.open(directory / manifest.database) as named:
            brought = await shelves.bring(named, progress)
        await asyncio.to_thread(_finish, shelves, directory, root, manifest, beside)
    finally:
        await asyncio.to_thread(files.close)
    return brought


def _finish(shelves: Shelves, directory: Path, root: Path, manifest: Manifest, beside: Sequence[str]) -> None:
    for name in beside:
        if (directory / name).exists() and not (root / name).exists():
            shelves.bring_file(directory / name, root / name, copied=True)
    sync_directory(root)
    shelves.bring_file(directory / manifest.database, root / _LIVE, copied=True)
    sync_directory(root)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
