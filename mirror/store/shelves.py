"""Blob files brought from one tree of `blobs/` to another: from a store to a backup, and back.

Source: RELIABILITY 3.1. A file never changes once it has its name, so a hard link is as good as a copy, but for a disk
that dies. A file that has its name in the other tree is whole and safe there: what is copied is synced before it gets
it. Never links the database, which is written in place; what is in the archive is copied, for the link is no bytes.
"""

import asyncio
import errno
import os
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final
from uuid import uuid4

from mirror.oci.digest import HEX_LENGTHS, Digest
from mirror.store.disk import BLOBS, FILE_MODE, full_disk_refused, make_directory, sync_directory, sync_file
from mirror.store.files import shards
from mirror.store.named import Named

COPIES_MAX: Final = 8  # at once: most of a copy is waiting for the disk
# What says that a file cannot have a second name there: another filesystem, none of its kind, its names are used up.
_UNLINKABLE: Final = frozenset({errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK})

Progress = Callable[[int, int], object]  # blobs done, blobs in all


@dataclass(slots=True)
class Brought:
    """What is in the other tree now: blobs and bytes, how many are new there, and which of our own are nowhere."""

    blobs: int = 0
    size: int = 0
    new: int = 0
    missing: set[Digest] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Shelves:
    """Two trees and the way between them. `staging` is a directory on the target's filesystem; all may block."""

    source: Path
    target: Path
    staging: Path
    copied: bool = False  # even where a link would do

    async def bring(self, named: Named, progress: Progress) -> Brought:
        """Bring all that is named and is not in the target yet. Raises OSError, StorageFull."""
        done, found = 0, Brought()
        await asyncio.to_thread(self._make_tree)
        pool = ThreadPoolExecutor(COPIES_MAX, thread_name_prefix="copies")
        try:
            for algorithm, shard in shards():
                done += await asyncio.to_thread(self._bring_shard, named, algorithm, shard, pool, found)
                progress(done, named.blobs)
        finally:
            # Idle but for a shard that is left in the middle, and that does not keep whoever leaves it.
            pool.shutdown(wait=False, cancel_futures=True)
        return found

    async def sweep(self, named: Named) -> None:
        """Remove from the target what is not named any more."""
        for algorithm, shard in shards():
            await asyncio.to_thread(self._sweep_shard, named, algorithm, shard)

    def bring_file(self, source: Path, target: Path, *, copied: bool = False) -> None:
        """Give a file a second place, durably but for the directory's sync. Blocks. Raises OSError, StorageFull."""
        staged = self.staging / uuid4().hex
        with full_disk_refused():
            try:
                if self.copied or copied or source.is_symlink() or not _is_linked(source, staged):
                    _copy(source, staged)
                staged.replace(target)
            except OSError:
                staged.unlink(missing_ok=True)
                raise

    def _make_tree(self) -> None:
        for directory in (self.target, *(self.target / algorithm for algorithm in HEX_LENGTHS)):
            make_directory(directory)
            sync_directory(directory.parent)

    def _bring_shard(self, named: Named, algorithm: str, shard: str, pool: ThreadPoolExecutor, found: Brought) -> int:
        """Bring what is named of one directory; return how many names that were."""
        wanted = named.below(algorithm, shard)
        if not wanted:
            return 0
        there = self.target / algorithm / shard
        make_directory(there)
        bring = partial(self._bring_blob, self.source / algorithm / shard, there, _sizes(there))
        for (digest, ours), (size, is_new) in zip(wanted.items(), pool.map(bring, wanted), strict=True):
            if size is not None:
                found.blobs, found.size, found.new = found.blobs + 1, found.size + size, found.new + is_new
            elif ours:
                found.missing.add(digest)
        # Also without anything new: what a backup that was broken off brought may not be safe yet.
        sync_directory(there)
        sync_directory(there.parent)
        return len(wanted)

    def _bring_blob(self, here: Path, there: Path, held: Mapping[str, int], digest: Digest) -> tuple[int | None, bool]:
        """Return a blob's size in the target, None where neither tree has it, and whether it is new there."""
        name = digest.hex
        try:
            size = (here / name).stat().st_size
            if held.get(name) == size:
                return size, False
            self.bring_file(here / name, there / name)
        except FileNotFoundError:
            # Deleted since it was named, or lost: an older backup may still have it.
            return held.get(name), False
        return size, True

    def _sweep_shard(self, named: Named, algorithm: str, shard: str) -> None:
        there = self.target / algorithm / shard
        wanted = {digest.hex for digest in named.below(algorithm, shard)}
        for name in _sizes(there).keys() - wanted:
            (there / name).unlink(missing_ok=True)


def blobs_of(root: Path) -> Path:
    return root / BLOBS


def _is_linked(source: Path, target: Path) -> bool:
    try:
        target.hardlink_to(source)
    except OSError as error:
        if error.errno in _UNLINKABLE:
            return False
        raise
    return True


def _copy(source: Path, target: Path) -> None:
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))
    shutil.copyfile(source, target)
    sync_file(target)


def _sizes(directory: Path) -> dict[str, int]:
    """Return the files of a directory with their sizes in bytes; nothing of one that is not there."""
    try:
        with os.scandir(directory) as entries:
            return {entry.name: entry.stat(follow_symlinks=False).st_size for entry in entries}
    except FileNotFoundError:
        return {}
