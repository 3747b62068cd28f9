"""Sizes: what the disk and the stores say of themselves."""

import asyncio
import os

import pytest

from mirror.oci.digest import digest_of
from mirror.store.entries import BlobEntry
from mirror.store.sizes import measure
from mirror.store.store import Store


async def test_the_disk_and_the_files_are_measured(store: Store) -> None:
    """statvfs(3): what this user may write, not what root may."""
    found = await measure(store.files, store.index)
    disk = await asyncio.to_thread(os.statvfs, store.files.root)
    assert found.disk == disk.f_blocks * disk.f_frsize
    assert 0 < found.disk_free <= found.disk
    assert found.database >= 4_096
    assert 0 < found.index_used < found.index


async def test_blobs_are_counted_as_they_come_and_go(store: Store) -> None:
    """Both figures are kept, not walked for: a scrape costs the same with a million blobs."""
    for number in range(3):
        await store.index.put_blob(digest_of(bytes([number])), BlobEntry(10**number))
    await store.index.drop_blob(digest_of(bytes([1])))
    found = await measure(store.files, store.index)
    assert (found.blobs, found.blob_bytes) == (2, 101)


async def test_a_root_that_is_gone_is_an_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.files, "root", store.files.root / "none")
    with pytest.raises(FileNotFoundError):
        await measure(store.files, store.index)
