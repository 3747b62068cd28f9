"""Whether what is on the disk is what the index says: every blob hashed again, every entry followed to its file.

Source: RELIABILITY 3.1 and section 4, "bit rot". Reads only, unless asked to repair. A repair never deletes bytes:
wrong ones are put aside under `quarantine/`, so that the next pull fetches good ones.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal

from mirror.oci.digest import Digest, digest_of
from mirror.store.files import Files
from mirror.store.index import Index

PAGE_MAX: Final = 500  # blobs named in memory at once
READ_BYTES: Final = 1024 * 1024

FaultKind = Literal["wrong bytes", "wrong size", "wrong inline bytes", "entry without file", "file without entry"]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as it should be, and whether that was put right."""

    kind: FaultKind
    digest: Digest
    repaired: bool

    @property
    def harmless(self) -> bool:
        """A file that no entry names: a crash may leave one, and the next push or fill of it takes it up."""
        return self.kind == "file without entry"


Progress = Callable[[int], object]  # blobs hashed so far


async def verify(
    files: Files, index: Index, *, repair: bool = False, progress: Progress = lambda _: None
) -> AsyncIterator[Fault]:
    """Check all files, then all entries. A file without an entry is harmless: a crash may leave one."""
    found = files.scan()
    done = 0
    while page := await asyncio.to_thread(lambda: list(islice(found, PAGE_MAX))):
        for digest, _ in page:
            kind = await _file_fault(files, index, digest)
            done += 1
            progress(done)
            if kind is not None:
                if repair:
                    await _repair_file(files, index, digest, kind)
                yield Fault(kind, digest, repair)
    last: Digest | None = None
    while entries := index.blobs(last, PAGE_MAX):
        last = entries[-1][0]
        for fault in await missing(files, index, [digest for digest, _ in entries], repair=repair):
            yield fault


async def missing(files: Files, index: Index, digests: Sequence[Digest], *, repair: bool) -> list[Fault]:
    """Check the entries of `digests` against their files, by size only. A repair drops an entry that has none."""
    sizes = await asyncio.to_thread(lambda: [files.size(digest) for digest in digests])
    faults: list[Fault] = []
    for digest, size in zip(digests, sizes, strict=True):
        entry = index.blob(digest)
        if entry is None or entry.size == size:
            continue
        if repair:
            await index.drop_blob(digest)
        faults.append(Fault("entry without file" if size is None else "wrong size", digest, repair))
    return faults


async def _file_fault(files: Files, index: Index, digest: Digest) -> FaultKind | None:
    if not await asyncio.to_thread(_is_right, files, digest):
        return "wrong bytes"
    entry = index.blob(digest)
    if entry is None:
        return "file without entry"
    if entry.data is not None and digest_of(entry.data, digest.algorithm) != digest:
        return "wrong inline bytes"
    return None


async def _repair_file(files: Files, index: Index, digest: Digest, kind: FaultKind) -> None:
    if kind == "wrong bytes":
        await index.drop_blob(digest)
        await asyncio.to_thread(files.quarantine, digest)
        return
    entry = await asyncio.to_thread(files.entry, digest)
    if entry is not None:
        await index.put_blob(digest, entry)


def _is_right(files: Files, digest: Digest) -> bool:
    """Hash a file again. One that was deleted meanwhile is nobody's fault."""
    running = hashlib.new(digest.algorithm)
    try:
        with files.path(digest).open("rb") as file:
            while data := file.read(READ_BYTES):
                running.update(data)
    except FileNotFoundError:
        return True
    return running.hexdigest() == digest.hex
