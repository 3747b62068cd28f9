"""One blob examined: any damage is found, right bytes never are, and no byte is read twice without a reason."""

import asyncio
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mirror.oci.digest import Digest, digest_of
from mirror.store.entries import INLINE_BYTES_MAX, BlobEntry, blob_entry
from mirror.store.examination import PIECE_BYTES, Examiner, Fault
from mirror.store.files import Files
from mirror.store.index import Index

LARGE = Random(5).randbytes(2 * PIECE_BYTES + 17)
SIZES = (0, 1, INLINE_BYTES_MAX, INLINE_BYTES_MAX + 1, PIECE_BYTES, PIECE_BYTES + 1)


class Bench:
    """Blobs, and an examiner that counts the bytes it is let read."""

    def __init__(self, files: Files, index: Index) -> None:
        self.files = files
        self.index = index
        self.read_bytes = 0

    async def take(self, count: int) -> None:
        self.read_bytes += count

    async def put(self, data: bytes, entry: BlobEntry | None = None) -> Digest:
        digest = digest_of(data)
        await asyncio.to_thread(self.files.write, digest, data)
        await self.index.put_blob(digest, entry or blob_entry(data))
        return digest

    async def examine(self, digest: Digest, *, thorough: bool = False, **more: Any) -> Fault | None:
        take = more.pop("take", self.take)
        return await Examiner(self.files, self.index, take, thorough=thorough, **more).entry(digest)

    async def kind(self, digest: Digest, **more: Any) -> str:
        fault = await self.examine(digest, **more)
        return fault.kind if fault is not None else ""


@pytest.fixture
async def bench(store) -> Bench:
    return Bench(store.files, store.index)


@pytest.fixture
def bench_of_many(files: Files, tmp_path: Path) -> Iterator[tuple[asyncio.Runner, Bench]]:
    """A bench for many examples, on a loop of its own."""
    with asyncio.Runner() as runner:
        index = runner.run(Index.open(tmp_path / "index.lmdb"))
        yield runner, Bench(files, index)
        runner.run(index.close())


@pytest.mark.parametrize("thorough", [False, True])
async def test_right_bytes_are_right_and_read_once(bench: Bench, thorough: bool) -> None:
    """Issue section "Integrity": xxh3 against the index."""
    for size in SIZES:
        digest, before = await bench.put(LARGE[:size]), bench.read_bytes
        assert await bench.kind(digest, thorough=thorough) == ""
        assert bench.read_bytes - before == max(1, size)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.sampled_from([1, 5_000, INLINE_BYTES_MAX + 1, PIECE_BYTES + 1]),
    damage=st.sampled_from(["flip", "cut", "grow", "empty"]),
    at=st.floats(0.0, 1.0, exclude_max=True),
    bit=st.integers(0, 7),
    has_checksum=st.booleans(),
)
def test_any_damage_of_a_file_is_found(
    bench_of_many: tuple[asyncio.Runner, Bench], size: int, damage: str, at: float, bit: int, has_checksum: bool
) -> None:
    """RELIABILITY G5: every flipped bit, every missing and every added byte."""
    data, place = LARGE[:size], int(at * size)
    spoilt = {
        "flip": data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :],
        "cut": data[:place],
        "grow": data[:place] + b"x" + data[place:],
        "empty": b"",
    }[damage]
    runner, bench = bench_of_many

    async def look() -> str:
        right = blob_entry(data)
        digest = await bench.put(data, right if has_checksum else BlobEntry(size, 0, right.data))
        bench.files.path(digest).write_bytes(spoilt)
        return await bench.kind(digest)

    assert runner.run(look()) == ("wrong bytes" if damage == "flip" else "wrong size")


async def test_a_checksum_that_was_never_taken_is_kept_after_the_first_reading(bench: Bench) -> None:
    """Issue section "Integrity": sha256 where the xxh3 is absent; pushed blobs above 64 KiB have none at first."""
    digest = await bench.put(LARGE, BlobEntry(len(LARGE)))
    assert await bench.kind(digest) == ""
    await bench.index.put_note("settled", b"")
    assert bench.index.blob(digest) == blob_entry(LARGE)


async def test_a_wrong_checksum_is_the_indexs_fault_and_put_right(bench: Bench) -> None:
    """Issue section "Integrity": sha256 where the xxh3 differs: it decides, and the file is read once more for it."""
    digest = await bench.put(LARGE, BlobEntry(len(LARGE), 1))
    assert await bench.kind(digest) == ""
    await bench.index.put_note("settled", b"")
    assert bench.index.blob(digest) == blob_entry(LARGE)
    assert bench.read_bytes == 2 * len(LARGE)


@pytest.mark.parametrize("copy", [b"STRANGE", None])
async def test_a_wrong_or_missing_copy_in_the_index_is_found(bench: Bench, copy: bytes | None) -> None:
    digest = await bench.put(b"strange", BlobEntry(7, 0, copy))
    assert await bench.kind(digest) == "wrong inline bytes"


async def test_a_file_that_is_gone_is_a_fault_and_a_blob_that_was_taken_away_is_none(bench: Bench) -> None:
    """A collection drops the entry first: whoever sees the file go has to look again."""
    gone, collected = await bench.put(LARGE), await bench.put(LARGE[1:])
    for digest in (gone, collected):
        bench.files.path(digest).unlink()

    async def drop(_: int) -> None:
        await bench.index.drop_blob(collected)

    assert await bench.kind(gone) == "entry without file"
    assert await bench.kind(collected, take=drop) == ""
    assert await bench.kind(digest_of(b"never here")) == ""


async def test_a_file_that_is_written_anew_while_it_is_read_is_no_fault(bench: Bench) -> None:
    """A push of the same blob replaces the file between two pieces; its bytes were verified as they came."""
    digest = await bench.put(LARGE)
    bench.files.path(digest).write_bytes(b"x" * len(LARGE))
    pieces = 0

    async def push(_: int) -> None:
        nonlocal pieces
        pieces += 1
        if pieces == 2:
            await asyncio.to_thread(bench.files.write, digest, LARGE)

    assert await bench.kind(digest, take=push) == ""
    assert pieces == 2


@pytest.mark.parametrize(("number", "kind"), [(errno.EIO, "wrong bytes"), (errno.EBADMSG, "wrong bytes")])
async def test_bytes_that_the_disk_cannot_read_are_damage(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, number: int, kind: str
) -> None:
    """RELIABILITY section 4, "Bit rot": a disk notices most of it by itself."""
    digest = await bench.put(LARGE)

    def pread(*_: int) -> bytes:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pread", pread)
    assert await bench.kind(digest) == kind


async def test_no_piece_is_larger_than_was_asked_for(bench: Bench) -> None:
    """A low cap is held over each second, so its pieces are small."""
    taken: list[int] = []

    async def take(count: int) -> None:
        taken.append(count)

    digest = await bench.put(LARGE)
    assert await bench.kind(digest, take=take, piece_bytes=100_000) == ""
    assert max(taken) == 100_000
    assert sum(taken) == len(LARGE)
