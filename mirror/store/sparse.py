"""The staged file of a fill: bytes that arrive from the front and, now and then, from further on.

`front` bytes from the start are here and hashed. `islands` are runs beyond the front that a range far ahead brought in.
A small JSON note beside the file remembers both, so that the next process resumes instead of fetching again; it may
lag behind the bytes and may be wrong after a power cut, because the digest over the whole decides in the end.
The methods marked "blocking" belong in a thread; everything else is plain memory, for the loop.
"""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import xxhash

from mirror.oci.digest import Digest, hasher
from mirror.oci.ranges import Span

if TYPE_CHECKING:
    from hashlib import _Hash

NOTE_EVERY_BYTES: Final = 16 * 1024 * 1024  # a kill costs at most this much fetching again
READ_BYTES: Final = 1024 * 1024  # one read while hashing what is already here
BUFFERS_MAX: Final = 1024  # Linux IOV_MAX: one pwritev takes no more


class _Note(msgspec.Struct):
    front: int
    islands: list[tuple[int, int]]


class SparseFile:
    """A staged blob that fills up. One task at a time moves the front; others may add islands."""

    def __init__(self, path: Path, digest: Digest) -> None:
        self.path = path
        self.digest = digest
        self.front = 0
        self.islands: list[Span] = []
        self.file: io.FileIO  # from `open` on
        self._hash = hasher(digest.algorithm)
        self._checksum = xxhash.xxh3_64()
        self._noted = 0
        self._kept = True

    def open(self) -> None:
        """Blocking: open the file, take up what an earlier process left, and hash it to the front. Raises OSError."""
        self.file = io.FileIO(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")
        note = self._read_note()
        length = os.fstat(self.file.fileno()).st_size
        self.islands = [Span(start, end) for start, end in note.islands if 0 < start < end <= length]
        self.hash_to(min(note.front, length))

    def close(self) -> None:
        """Close the file, if it could be opened at all."""
        if hasattr(self, "file"):
            self.file.close()

    def write_front(self, buffers: Sequence[bytes]) -> None:
        """Blocking: add bytes at the front and hash them."""
        self.write_at(self.front, buffers)
        for buffer in buffers:
            self._hash.update(buffer)
            self._checksum.update(buffer)
        self.front += sum(map(len, buffers))
        if self.front - self._noted >= NOTE_EVERY_BYTES:
            self.write_note()

    def write_at(self, offset: int, buffers: Sequence[bytes]) -> None:
        """Blocking: put bytes at `offset`, whole or with an OSError."""
        fd = self.file.fileno()
        for first in range(0, len(buffers), BUFFERS_MAX):
            some = buffers[first : first + BUFFERS_MAX]
            length = sum(map(len, some))
            written = os.pwritev(fd, some, offset)
            if written < length:
                _write_rest(fd, b"".join(some)[written:], offset + written)
            offset += length

    def hash_to(self, end: int) -> None:
        """Blocking: move the front to `end` over bytes that are already in the file."""
        fd = self.file.fileno()
        while self.front < end:
            data = os.pread(fd, min(READ_BYTES, end - self.front), self.front)
            if not data:
                break
            self._hash.update(data)
            self._checksum.update(data)
            self.front += len(data)

    def absorb(self) -> None:
        """Let go of islands that the front has passed."""
        self.islands = [island for island in self.islands if island.end > self.front]

    def add_island(self, span: Span) -> None:
        """Note that the bytes of `span`, beyond the front, are in the file."""
        merged = span
        apart = []
        for island in self.islands:
            if island.end < merged.start or island.start > merged.end:
                apart.append(island)
            else:
                merged = Span(min(island.start, merged.start), max(island.end, merged.end))
        self.islands = sorted([*apart, merged], key=lambda island: island.start)

    def readable_end(self, offset: int) -> int:
        """Return up to where bytes from `offset` on are in the file; `offset` itself when there is none."""
        if offset < self.front:
            return self.front
        for island in self.islands:
            if island.start <= offset < island.end:
                return island.end
        return offset

    def verified(self) -> bool:
        """Tell whether the bytes up to the front have the digest's name."""
        return self._hash.hexdigest() == self.digest.hex

    def running(self) -> "_Hash":
        """Return a hash of the bytes up to the front, for who goes on from there."""
        return self._hash.copy()

    def checksum(self) -> int:
        """Return the xxh3 of the bytes up to the front, for the scrub."""
        return self._checksum.intdigest()

    def write_note(self) -> None:
        """Blocking: remember front and islands beside the file, in one rename. Nothing to do once it is given up."""
        if not self._kept:
            return
        note = _Note(self.front, [(island.start, island.end) for island in self.islands])
        staged = self._note_path().with_suffix(".new")
        staged.write_bytes(msgspec.json.encode(note))
        staged.rename(self._note_path())
        self._noted = self.front

    def forget(self) -> None:
        """Blocking: remove the note, as the file is published or given up."""
        self._kept = False
        self._note_path().unlink(missing_ok=True)

    def discard(self) -> None:
        """Blocking: remove the file and its note: wrong bytes are not kept."""
        self.path.unlink(missing_ok=True)
        self.forget()

    def _note_path(self) -> Path:
        return self.path.with_suffix(".json")

    def _read_note(self) -> _Note:
        try:
            return msgspec.json.decode(self._note_path().read_bytes(), type=_Note)
        except (FileNotFoundError, msgspec.DecodeError):
            return _Note(0, [])


def _write_rest(fd: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(fd, data, offset)
        data, offset = data[written:], offset + written
