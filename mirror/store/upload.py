"""One push upload: bytes that arrive in chunks, hashed as they come, until a digest gives them a name.

Source: OCI distribution-spec v1.1, "Pushing blobs". The staged file's length is the truth about the offset. Finalising
reads nothing again (sha512 excepted: nobody says at the start which digest will be asked for). No file descriptor is
open between two batches, so ten thousand idle sessions cost none.
"""

import asyncio
import hashlib
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import msgspec

from mirror.oci.digest import Digest
from mirror.oci.errors import BlobUploadBusy, DigestInvalid
from mirror.oci.names import Repository
from mirror.store.batches import write_behind
from mirror.store.disk import full_disk_refused, open_private
from mirror.store.entries import INLINE_BYTES_MAX, BlobEntry, blob_entry
from mirror.store.files import Files

if TYPE_CHECKING:
    from hashlib import _Hash

_READ_BYTES: Final = 1024 * 1024
SYNC_EVERY_BYTES: Final = 64 * 1024 * 1024  # synced on the way: the last fsync of a 5 GB upload must not take 30 s


class Parts(msgspec.Struct, frozen=True):
    """The parts of an upload that has some: how many; bytes (0: none) of the latest and of the smallest before it."""

    last: int = 0
    smallest: int = 0
    count: int = 0

    def and_one(self, size: int) -> "Parts":
        """Return these parts and one more."""
        smallest = min((known for known in (self.last, self.smallest) if known), default=0)
        return Parts(size, smallest, self.count + 1)


class Note(msgspec.Struct, frozen=True, omit_defaults=True):
    """What lies beside the bytes of a session, so that a restart knows whose they are."""

    registry: str
    name: str
    parts: Parts = Parts()


class Upload:
    """An open upload session. One request at a time may write to it; a second one raises BlobUploadBusy."""

    def __init__(self, files: Files, session: str, repository: Repository, ended: Callable[[str], object]) -> None:
        self.session = session
        self.repository = repository
        self.offset = 0  # bytes that are in the file and in the hash
        self.parts = Parts()
        self.touched_at = time.time()  # unix seconds, as the times of the files beside it
        self._files = files
        self._path = files.upload_path(session)
        self._hash: _Hash = hashlib.sha256()
        self._ended = ended
        self._unsynced = 0
        self._busy = False
        # Held by the thread that writes: a request that is cancelled twice leaves its last batch to finish alone.
        self._pen = threading.Lock()

    @property
    def busy(self) -> bool:
        return self._busy

    async def append(self, chunks: AsyncIterator[bytes]) -> None:
        """Add `chunks` at the offset. When they break off, what came is kept and the error goes on."""
        with self._alone():
            await write_behind(chunks, self._write, lambda _: True)

    async def append_part(self, part: bytes) -> None:
        """Add a part of the AWS API at the offset, whole or not at all, and take note of its size."""

        async def once() -> AsyncIterator[bytes]:
            yield part

        with self._alone():
            await write_behind(once(), self._write_part, lambda _: True)

    async def finish(self, digest: Digest) -> BlobEntry:
        """Publish the bytes as `digest` and end the session; the answer is what the index should say of them.

        Raises DigestInvalid when they are others, StorageFull when they cannot be kept; the session is gone then too.
        """
        with self._alone():
            try:
                return await asyncio.to_thread(self._publish, digest)
            finally:
                self._ended(self.session)

    async def cancel(self) -> None:
        """Drop the session and its bytes."""
        with self._alone():
            await asyncio.to_thread(self._drop)
            self._ended(self.session)

    def resume(self, parts: Parts) -> None:
        """Take up the bytes, in these parts, that an earlier process left: hash them again. Blocks."""
        self.parts = parts
        with full_disk_refused(), self._pen:
            self._hash = _hash_file(self._path, "sha256")
            self.offset = self._path.stat().st_size

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if self._busy:
            raise BlobUploadBusy("another request is writing to this upload")
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
            self.touched_at = time.time()

    def _write(self, batch: Sequence[bytes]) -> None:
        """Add `batch` whole or not at all: file, hash and offset agree whatever happens."""
        with full_disk_refused(), self._pen:
            if self.offset == 0:
                self._write_note(self.parts)
            with self._open() as file:
                file.writelines(batch)
                self._unsynced += sum(map(len, batch))
                if self._unsynced >= SYNC_EVERY_BYTES:
                    file.flush()
                    os.fdatasync(file.fileno())
                    self._unsynced = 0
            for chunk in batch:
                self._hash.update(chunk)
            self.offset += sum(map(len, batch))

    def _write_part(self, batch: Sequence[bytes]) -> None:
        """Write a part, then its size: a crash loses the size of one part at most, which refuses nobody."""
        self._write(batch)
        parts = self.parts.and_one(sum(map(len, batch)))
        if parts != self.parts:
            with full_disk_refused(), self._pen:
                self._write_note(parts)
        self.parts = parts

    def _open(self) -> BinaryIO:
        """Open the file at the offset: what a failed write left behind it is cut off."""
        file = open_private(self._path)
        if file.tell() != self.offset:
            file.truncate(self.offset)
        return file

    def _write_note(self, parts: Parts) -> None:
        """Comes with the first bytes: before them there is nothing that a restart could lose."""
        with open_private(note_path(self._path)) as file:
            file.truncate(0)
            file.write(msgspec.json.encode(Note(str(self.repository.registry), self.repository.name, parts)))

    def _publish(self, digest: Digest) -> BlobEntry:
        with full_disk_refused(), self._pen:
            try:
                self._open().close()  # an upload of no bytes has no file yet
                running = self._hash if digest.algorithm == "sha256" else _hash_file(self._path, digest.algorithm)
                if running.hexdigest() != digest.hex:
                    got = f"{digest.algorithm}:{running.hexdigest()}"
                    raise DigestInvalid(f"the {self.offset} bytes uploaded are {got}, not {digest}")
                small = self.offset <= INLINE_BYTES_MAX
                entry = blob_entry(self._path.read_bytes()) if small else BlobEntry(self.offset)
                self._files.publish(self._path, digest)
            finally:
                self._drop()
        return entry

    def _drop(self) -> None:
        self._path.unlink(missing_ok=True)
        note_path(self._path).unlink(missing_ok=True)


def note_path(path: Path) -> Path:
    return path.with_suffix(".json")


def _hash_file(path: Path, algorithm: str) -> "_Hash":
    running = hashlib.new(algorithm)
    with path.open("rb") as file:
        while data := file.read(_READ_BYTES):
            running.update(data)
    return running
