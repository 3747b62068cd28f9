"""The examination of one blob: its file, piece by piece, and its entry.

Source: issue section "Integrity"; RELIABILITY section 4, "Bit rot". The xxh3 of the index is believed where it agrees:
it is taken from bytes whose digest was right. Where it differs, or was never taken, the digest decides. No file is open
between two pieces, and none is taken for the one that another has replaced.
"""

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import xxhash

from mirror.oci.digest import Digest, hasher
from mirror.store.entries import INLINE_BYTES_MAX, BlobEntry
from mirror.store.files import Files
from mirror.store.index import Index
from mirror.store.quarantine import Mark, mark_of

PIECE_BYTES: Final = 1024 * 1024  # of one read: some two milliseconds of sha256, much less of xxh3

# What a disk and a filesystem say of bytes that they cannot give: that is damage, and no trouble of ours.
_UNREADABLE: Final = frozenset({errno.EIO, errno.EBADMSG, errno.EUCLEAN})

FaultKind = Literal[
    "wrong bytes",
    "wrong size",
    "wrong inline bytes",
    "entry without file",
    "file without entry",
    "name without bytes",
]
Take = Callable[[int], Awaitable[object]]  # waits until so many bytes may be read


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as it should be; `mark` is that of the file that was looked at."""

    kind: FaultKind
    digest: Digest
    mark: Mark | None = None

    @property
    def harmless(self) -> bool:
        """A file that no entry names: a crash may leave one, and the next push or fill of it takes it up."""
        return self.kind == "file without entry"


async def missing(files: Files, index: Index, digests: Sequence[Digest]) -> list[Fault]:
    """Check the entries of `digests` against their files, by size only."""
    looked = await asyncio.to_thread(lambda: [files.stat(digest) for digest in digests])
    faults: list[Fault] = []
    for digest, status in zip(digests, looked, strict=True):
        entry = index.blob(digest)
        if entry is not None and status is None:
            faults.append(Fault("entry without file", digest))
        elif entry is not None and status is not None and entry.size != status.st_size:
            faults.append(Fault("wrong size", digest, mark_of(status)))
    return faults


class Examiner:
    """Examines blobs. `take` is asked before each read, of `piece_bytes` at most; `thorough` believes no xxh3."""

    def __init__(
        self, files: Files, index: Index, take: Take, *, thorough: bool, piece_bytes: int = PIECE_BYTES
    ) -> None:
        self._piece_bytes = piece_bytes
        self._files = files
        self._index = index
        self._take = take
        self._thorough = thorough

    async def entry(self, digest: Digest) -> Fault | None:
        """Examine a blob that the index has; None when it is right, or not here any more. A new xxh3 is kept."""
        entry = self._index.blob(digest)
        if entry is None:
            return None
        read = await self._read(digest, entry.size, by_digest=self._thorough or not entry.checksum)
        if read.is_whole and not read.by_digest and read.checksum != entry.checksum:
            read = await self._read(digest, entry.size, by_digest=True)
        if read.is_replaced or self._index.blob(digest) is None:
            # It was written anew, or taken away, while it was read: neither is a fault.
            return None
        if read.mark is None:
            return Fault("entry without file", digest)
        if read.size != entry.size:
            return Fault("wrong size", digest, read.mark)
        if not read.is_right:
            return Fault("wrong bytes", digest, read.mark)
        return self._judge(digest, entry, read)

    def _judge(self, digest: Digest, entry: BlobEntry, read: "_Reading") -> Fault | None:
        """Hold the entry of a right file against it."""
        is_small, data = entry.size <= INLINE_BYTES_MAX, entry.data
        if is_small and (data is None or xxhash.xxh3_64_intdigest(data) != read.checksum):
            return Fault("wrong inline bytes", digest, read.mark)
        if read.checksum != entry.checksum:
            self._index.post_checksum(digest, BlobEntry(entry.size, read.checksum))
        return None

    async def stray(self, digest: Digest, size: int) -> Fault | None:
        """Examine a file of `size` bytes that the index does not know; None when it does now, or the file is gone."""
        read = await self._read(digest, size, by_digest=True)
        if read.mark is None or read.is_replaced or self._index.blob(digest) is not None:
            return None
        return Fault("file without entry" if read.is_right else "wrong bytes", digest, read.mark)

    async def _read(self, digest: Digest, size: int, *, by_digest: bool) -> "_Reading":
        reading = _Reading(self._files.path(digest), digest, size, by_digest=by_digest)
        goes_on = True
        while goes_on:
            count = max(1, min(self._piece_bytes, size - reading.offset))
            await self._take(count)
            goes_on = await asyncio.to_thread(reading.go_on, count)
        return reading


class _Reading:
    """A file while it is read."""

    def __init__(self, path: Path, digest: Digest, size: int, *, by_digest: bool) -> None:
        self.by_digest = by_digest
        self.mark: Mark | None = None
        self.size = 0
        self.offset = 0
        self.is_replaced = False
        self._path = path
        self._digest = digest
        self._expected = size
        self._checksum = xxhash.xxh3_64()
        self._hash = hasher(digest.algorithm)

    @property
    def checksum(self) -> int:
        return self._checksum.intdigest()

    @property
    def is_whole(self) -> bool:
        return self.mark is not None and self.offset == self.size == self._expected and not self.is_replaced

    @property
    def is_right(self) -> bool:
        """Tell whether all bytes are here and, where the digest was taken, whether they bear its name."""
        return self.is_whole and (not self.by_digest or self._hash.hexdigest() == self._digest.hex)

    def go_on(self, count: int) -> bool:
        """Read up to `count` bytes more; False at the end. Blocks, and leaves Python to others while it does."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self.is_replaced = self.mark is not None
            return False
        try:
            return self._go_on(descriptor, count)
        except OSError as error:
            if error.errno in _UNREADABLE:
                return False
            raise
        finally:
            os.close(descriptor)

    def _go_on(self, descriptor: int, count: int) -> bool:
        status = os.fstat(descriptor)
        if self.mark is not None and self.mark != mark_of(status):
            self.is_replaced = True
            return False
        self.mark, self.size = mark_of(status), status.st_size
        if self.size != self._expected:
            return False
        # What is read once a week must not push out what clients ask for.
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_NOREUSE)
        data = os.pread(descriptor, count, self.offset)
        self._checksum.update(data)
        if self.by_digest:
            self._hash.update(data)
        self.offset += len(data)
        return bool(data) and self.offset < self.size
