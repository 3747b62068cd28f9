"""Blob files: the truth about bytes. A file under `blobs/` is complete and verified, or it is not there.

Source: DESIGN section 2, "Order of writes"; RELIABILITY 3.1. Builds paths from parsed digests only, never from a name
that a client sent. Everything here blocks and belongs in a thread, except `open_blob`, two system calls for the loop.

A blob whose bytes are in the archive (`archive.py`) is a link here, which is followed like any file.
"""

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

from mirror.oci.digest import HEX_LENGTHS, Digest, digest_of, parse_digest
from mirror.oci.errors import DigestInvalid
from mirror.store.disk import (
    BLOBS,
    DIRECTORY_MODE,
    FILE_MODE,
    disk_room,
    full_disk_refused,
    make_directory,
    open_private,
    sync_directory,
    sync_file,
)
from mirror.store.entries import INLINE_BYTES_MAX, BlobEntry, blob_entry

SHARDS: Final = 256  # two hex digits: a million blobs are 4,000 names a directory
ARCHIVE: Final = "archive"  # a link to the archive; blobs that are there are links through this one
PROBE_BYTES: Final = 4_096  # a block, so that a disk without a free one says so
_STAGES: Final = ("fills", "uploads", "writes", "collected")


class StoreLocked(Exception):
    """Another process has this storage root open: two would overwrite each other's index."""


class Files:
    """The files under one storage root, held by this process alone until `close`. Raises StoreLocked when it is not."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._blobs = f"{root}/{BLOBS}"
        self._stage = root / "stage"
        with full_disk_refused():
            root.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
            self._lock = take_lock(root / "lock")
            self._make_tree()

    def _make_tree(self) -> None:
        """Make every directory now and sync it, so that the path of a push never has to. Drop half-written files."""
        for name in ("writes", "collected"):
            shutil.rmtree(self._stage / name, ignore_errors=True)
        for directory in (self.root / BLOBS, self._stage, *(self._stage / name for name in _STAGES)):
            make_directory(directory)
        for algorithm in HEX_LENGTHS:
            make_directory(self.root / BLOBS / algorithm)
            for shard in range(SHARDS):
                make_directory(self.root / BLOBS / algorithm / f"{shard:02x}")
            sync_directory(self.root / BLOBS / algorithm)
        for directory in (self.root / BLOBS, self._stage, self.root, self.root.parent):
            sync_directory(directory)

    def close(self) -> None:
        os.close(self._lock)

    def path(self, digest: Digest) -> Path:
        return Path(self._path(digest))

    def fill_path(self, digest: Digest) -> Path:
        """Return where a cache fill of `digest` is staged; it may be there from before a restart."""
        return self.fills / f"{digest.algorithm}-{digest.hex}"

    def upload_path(self, session: str) -> Path:
        """Return where the push upload `session` (32 hex digits) is staged."""
        return self.uploads / session

    @property
    def fills(self) -> Path:
        return self._stage / "fills"

    @property
    def uploads(self) -> Path:
        return self._stage / "uploads"

    @property
    def writes(self) -> Path:
        return self._stage / "writes"

    def publish(self, staged: Path, digest: Digest) -> None:
        """Give the verified bytes in `staged` their name, durably. Blocks. Its equal may be there.

        Raises StorageFull or OSError; then `staged` is gone, for bytes whose fsync failed must not be used again.
        """
        target = self.path(digest)
        with full_disk_refused():
            try:
                sync_file(staged)
                staged.rename(target)
            except OSError:
                staged.unlink(missing_ok=True)
                raise
            sync_directory(target.parent)

    def write(self, digest: Digest, data: bytes) -> None:
        """Store small bytes, whose digest the caller has checked, under their name, durably. Blocks."""
        staged = self.writes / uuid4().hex
        with full_disk_refused():
            try:
                with open_private(staged) as file:
                    file.write(data)
            except OSError:
                staged.unlink(missing_ok=True)
                raise
        self.publish(staged, digest)

    def open_blob(self, digest: Digest, size: int) -> int | None:
        """Open a blob for reading: a file descriptor that the caller closes, or None unless `size` bytes are there."""
        try:
            descriptor = os.open(self._path(digest), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        if os.fstat(descriptor).st_size == size:
            return descriptor
        os.close(descriptor)
        return None

    def has(self, digest: Digest, size: int) -> bool:
        """Tell whether the file of a blob is there with all its `size` bytes. For the loop, as `open_blob` is."""
        descriptor = self.open_blob(digest, size)
        if descriptor is not None:
            os.close(descriptor)
        return descriptor is not None

    def size(self, digest: Digest) -> int | None:
        """Return how many bytes the file of `digest` has; None when there is none."""
        status = self.stat(digest)
        return None if status is None else status.st_size

    def stat(self, digest: Digest) -> os.stat_result | None:
        """Look at the file of `digest`; None when there is none. Blocks."""
        try:
            return self.path(digest).stat()
        except FileNotFoundError:
            return None

    def read(self, digest: Digest) -> bytes | None:
        """Return the bytes of a small blob; None when it is not here. Blocks."""
        try:
            return self.path(digest).read_bytes()
        except FileNotFoundError:
            return None

    def read_right(self, digest: Digest) -> bytes | None:
        """Return the bytes of a small blob if they still are what their name says; None when they are not. Blocks."""
        data = self.read(digest)
        return data if data is not None and digest_of(data, digest.algorithm) == digest else None

    def entry(self, digest: Digest) -> BlobEntry | None:
        """Look at the file of `digest` and say what the index should; None when it is not here. Blocks."""
        size = self.size(digest)
        if size is None or size > INLINE_BYTES_MAX:
            return None if size is None else BlobEntry(size)
        data = self.read(digest)
        return None if data is None else blob_entry(data)

    def set_aside(self, digests: Iterable[Digest]) -> None:
        """Take blob files away from their names, in no time. The index entries go first: none may be without a file."""
        for digest in digests:
            with suppress(FileNotFoundError):
                self.path(digest).rename(self._aside(digest))

    def empty_aside(self, digests: Iterable[Digest]) -> None:
        """Delete the files that were set aside: of a large one that takes a while. Blocks.

        Of a link that is all: its bytes are the archive's to delete.
        """
        for digest in digests:
            self._aside(digest).unlink(missing_ok=True)

    def _aside(self, digest: Digest) -> Path:
        return self._stage / "collected" / f"{digest.algorithm}-{digest.hex}"

    @property
    def archive(self) -> Path:
        """Return by what name the archive is known here; there may be none, or it may not be there now."""
        return self.root / ARCHIVE

    def archived(self, digest: Digest) -> Path:
        """Return where a blob is in the archive."""
        return self.archive / BLOBS / digest.algorithm / digest.hex[:2] / digest.hex

    def is_linked(self, digest: Digest) -> bool:
        """Tell whether the bytes of a blob are in the archive."""
        return self.path(digest).is_symlink()

    def is_away(self, digest: Digest) -> bool:
        """Tell whether the bytes of a blob are out of reach with the archive: then they are not lost. Blocks."""
        return self.is_linked(digest) and not self.archive_is_here()

    def archive_is_here(self) -> bool:
        """Tell whether the archive answers: an empty directory that a disk should be mounted on has no blobs."""
        return os.path.isdir(self.archive / BLOBS)  # noqa: PTH112 - Path.is_dir raises where a disk was pulled out

    def try_writing(self) -> None:
        """Write a little, durably, and remove it. Raises StorageFull or OSError. Blocks."""
        path = self._stage / "writes" / "probe"
        with full_disk_refused():
            try:
                path.write_bytes(bytes(PROBE_BYTES))
                sync_file(path)
            finally:
                path.unlink(missing_ok=True)

    def room(self) -> tuple[int, int]:
        """Return how many bytes of the disk are free for us, and how many it has. Blocks."""
        return disk_room(self.root)

    def scan(self) -> Iterator[tuple[Digest, int]]:
        """Walk all blobs with their sizes in bytes. Blocks; one directory of names in memory at a time."""
        for algorithm, shard in shards():
            for digest, entry in named_in(f"{self._blobs}/{algorithm}/{shard}", algorithm):
                # One that was deleted while we walked, or a link to what is not there, is no blob.
                with suppress(FileNotFoundError):
                    yield digest, entry.stat().st_size

    def _path(self, digest: Digest) -> str:
        return f"{self._blobs}/{digest.algorithm}/{digest.hex[:2]}/{digest.hex}"


def take_lock(path: Path) -> int:
    """Hold a directory for this process by a file in it, until the descriptor is closed. Raises StoreLocked."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StoreLocked(f"{path.parent} is in use by another process") from None
    return descriptor


def shards() -> Iterator[tuple[str, str]]:
    """Name the directories of a tree of blobs: algorithm and two hex digits."""
    for algorithm in HEX_LENGTHS:
        for shard in range(SHARDS):
            yield algorithm, f"{shard:02x}"


def named_in(directory: str, algorithm: str) -> Iterator[tuple[Digest, os.DirEntry[str]]]:
    """Read one directory whole; yield what has the name of a blob: others are strangers. Raises FileNotFoundError."""
    with os.scandir(directory) as entries:
        found = list(entries)
    for entry in found:
        with suppress(DigestInvalid):
            yield parse_digest(f"{algorithm}:{entry.name}"), entry
