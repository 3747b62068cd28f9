"""Sizes: what the disk and the stores say of themselves."""

import asyncio
import os
from pathlib import Path

import pytest

from mirror.oci.digest import digest_of
from mirror.store import sizes
from mirror.store.entries import BlobEntry
from mirror.store.sizes import Held, count_blobs, measure
from mirror.store.store import Store


async def test_the_disk_and_the_files_are_measured(store: Store) -> None:
    """statvfs(3): what this user may write, not what root may."""
    found = await measure(store.files.root, store.index)
    disk = await asyncio.to_thread(os.statvfs, store.files.root)
    assert found.disk == disk.f_blocks * disk.f_frsize
    assert 0 < found.disk_free <= found.disk
    assert found.database >= 4_096
    assert 0 < found.index_used < found.index


async def test_a_root_that_is_gone_is_an_error(store: Store, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await measure(tmp_path / "none", store.index)


@pytest.mark.parametrize("count", [0, 1, 4, 5, 8])
async def test_all_blobs_are_counted_once_whatever_the_slices(
    store: Store, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """A slice ends before, at and behind the last of them."""
    monkeypatch.setattr(sizes, "SLICE", 4)
    for number in range(count):
        await store.index.put_blob(digest_of(bytes([number])), BlobEntry(10**number))
    assert await count_blobs(store.index) == Held(count, sum(10**number for number in range(count)))
