"""The archive: bytes that only archived images need lie on another disk, and are never lost by that."""

import asyncio
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from archives import AT, FIRST, LAYERS, archived, archivist, faults, is_in_archive, on, put_away, stored, turn
from registries import HOME

from mirror import telemetry
from mirror.jobs.archive import Moved
from mirror.jobs.collection import Collector
from mirror.oci.digest import digest_of
from mirror.oci.names import Repository
from mirror.store import archive as archive_module
from mirror.store.backup import back_up
from mirror.store.examination import missing
from mirror.store.quarantine import mark_of
from mirror.store.snapshot import Snapshots, snapshot_path
from mirror.store.store import Store

OTHER = Repository(HOME, "", "team/other")


async def collect(store: Store) -> int:
    store.guard.serve_nobody()
    return (await Collector(store.collection, store.files, store.space, clock=lambda: 2 * AT).collect()).blobs


async def test_the_large_blobs_of_an_archived_image_move_and_come_back_with_it(root, disk, push, make_image) -> None:
    """Issue 5, section 1: archived images' bytes move to archive_root; its manifest and small blobs stay."""
    image = make_image(*LAYERS, b"small")
    async with archived(root, disk) as store:
        await push.image(store, root.ours, image, ["v1"])
        work = archivist(store).work
        assert await work() == Moved()
        await turn(store, root.ours, image, "ARCHIVED")
        assert await work() == Moved(put=200_000)
        assert set(on(disk)) == {digest_of(layer).hex for layer in LAYERS}
        assert [await is_in_archive(store, disk, layer) for layer in LAYERS] == [True, True]
        assert await work() == Moved()
        assert await faults(store) == []
        await turn(store, root.ours, image, "ACTIVE")
        descriptor = store.files.open_blob(FIRST, 100_000)
        assert descriptor is not None, "what was restored is served from the archive until it is back"
        assert await asyncio.to_thread(os.pread, descriptor, 100_001, 0) == LAYERS[0]
        os.close(descriptor)
        assert await work() == Moved(brought=200_000)
        assert [await is_in_archive(store, disk, layer) for layer in LAYERS] == [False, False]
        assert on(disk) == {}
        assert await faults(store) == []


async def test_a_blob_that_any_image_needs_stays(root, disk, push, make_image) -> None:
    """Issue 5, section 1: needed only by archived manifests, in any repository."""
    one, two = make_image(LAYERS[0]), make_image(*LAYERS)
    async with archived(root, disk) as store:
        await push.image(store, root.ours, one)
        await push.image(store, OTHER, two)
        await turn(store, root.ours, one, "ARCHIVED")
        assert await archivist(store).work() == Moved()
        await turn(store, OTHER, two, "ARCHIVED")
        assert await archivist(store).work() == Moved(put=200_000)
        await push.image(store, OTHER, make_image(LAYERS[0], b"new"))
        assert await archivist(store).work() == Moved()
        assert on(disk).keys() == {digest_of(LAYERS[1]).hex}, "a push leaves its own file, and that is enough"
        assert not await is_in_archive(store, disk)


async def test_a_blob_of_a_push_under_way_stays_until_its_grace_time_is_over(root, disk, push, make_image) -> None:
    """A client that was told that a blob is here may be about to push an image with it."""
    image = make_image(LAYERS[0])
    async with archived(root, disk) as store:
        await push.image(store, root.ours, image)
        await turn(store, root.ours, image, "ARCHIVED")
        await store.catalog.link_blob(OTHER, FIRST, 100_000, "", AT - 10)
        assert await archivist(store).work() == Moved()
        store.guard.grace_s = 5.0
        assert await archivist(store).work() == Moved(put=100_000)


async def test_what_is_collected_leaves_the_archive_too(root, disk, push, make_image) -> None:
    """Issue 5, section 2: garbage collection; its room is the archive's."""
    image = make_image(LAYERS[0])
    async with archived(root, disk) as store:
        await put_away(store, push, root.ours, image)
        await store.images.delete(root.ours, image.digest, AT)
        assert await collect(store) == 3
        assert not await asyncio.to_thread(store.files.is_linked, FIRST)
        await archivist(store).work()
        assert on(disk) == {}
        assert await faults(store) == []


async def test_an_archive_that_is_not_there_is_told_and_nothing_in_it_is_lost(
    root, disk, push, make_image, events: list[Any]
) -> None:
    """RELIABILITY section 4: bytes that are absent with a mount are no damage, and come back with it."""
    image = make_image(LAYERS[0])
    async with archived(root, disk) as store:
        await put_away(store, push, root.ours, image)
    away = disk.rename(disk.with_name("elsewhere"))
    disk.mkdir()  # the empty directory under a mount
    async with archived(root, disk, rebuilt=True) as store:
        assert "is its disk mounted?" in store.archiving.archive.fault
        assert "the archive cannot be used" in [event["event"] for event in events]
        await turn(store, root.ours, image, "ACTIVE")
        assert await archivist(store).work() == Moved()
        assert store.files.open_blob(FIRST, 100_000) is None
        await store.losses.drop(FIRST)
        assert await missing(store.files, store.index, [FIRST]) == []
        assert await faults(store) == []
        entry = store.index.blob(FIRST)
        assert entry is not None and entry.size == 100_000
        assert on(disk) == {}, "nothing is written below the mount"
        disk.rmdir()
        away.rename(disk)
        assert await archivist(store).work() == Moved(brought=100_000)
        assert await stored(store) == LAYERS[0]


async def test_an_archive_that_is_mounted_elsewhere_is_followed(root, disk, push, make_image) -> None:
    """The links of a store lead through one that is made anew at a start."""
    image = make_image(LAYERS[0])
    async with archived(root, disk) as store:
        await put_away(store, push, root.ours, image)
    moved = disk.rename(disk.with_name("new"))
    async with archived(root, moved) as store:
        assert await is_in_archive(store, moved)


async def test_an_archive_that_was_left_behind_is_read_where_it_is(root, disk, push, make_image) -> None:
    """Another path, without what lies at the old one, is a slip or half of a move: no second archive is begun."""
    image = make_image(LAYERS[0])
    async with archived(root, disk) as store:
        await put_away(store, push, root.ours, image)
    new = disk.with_name("new")
    new.mkdir()
    async with archived(root, new) as store:
        assert "nothing is moved until it has been brought there" in store.archiving.archive.fault
        assert await archivist(store).work() == Moved()
        assert await is_in_archive(store, disk)
        [place] = disk.iterdir()
        place.rename(new / place.name)
        assert await archivist(store).work() == Moved()
        assert store.archiving.archive.fault == ""
        assert await is_in_archive(store, new)


async def test_bytes_that_somebody_deleted_in_the_archive_are_lost_and_can_be_pushed_again(
    root, disk, push, make_image
) -> None:
    """Issue 5, section 3: a deleted file is a miss; only a whole archive that is not there is no damage."""
    image = make_image(LAYERS[0])
    async with archived(root, disk) as store:
        await put_away(store, push, root.ours, image)
        store.files.archived(FIRST).unlink()
        assert [fault.kind for fault in await missing(store.files, store.index, [FIRST])] == ["entry without file"]
        await store.losses.drop(FIRST)
        assert store.index.blob(FIRST) is None
        await push.blob(store, root.ours, LAYERS[0])
        assert await stored(store) == LAYERS[0]
        assert await faults(store) == []


async def test_without_the_setting_everything_comes_back_and_the_archive_is_forgotten(
    root, disk, push, make_image
) -> None:
    """An operator can take the disk away again: what was moved is archived still, and here."""
    image = make_image(*LAYERS)
    async with archived(root, disk) as store:
        await put_away(store, push, root.ours, image)
    async with archived(root, None) as store:
        assert await archivist(store).work() == Moved(brought=200_000)
        assert not await asyncio.to_thread(lambda: store.archiving.archive.is_wanted)
        assert on(disk) == {}
        assert await faults(store) == []


async def test_a_full_archive_takes_no_more_and_still_gives_back(
    root, disk, push, make_image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 5, section 2: each of the two disks makes room for the other."""
    here, there = make_image(LAYERS[0]), make_image(LAYERS[1])
    async with archived(root, disk) as store:
        for image in (here, there):
            await push.image(store, root.ours, image)
        await turn(store, root.ours, there, "ARCHIVED")
        await archivist(store).work()
        await turn(store, root.ours, there, "ACTIVE")
        await turn(store, root.ours, here, "ARCHIVED")
        with monkeypatch.context() as full:
            full.setattr(archive_module, "free_bytes", lambda _: 0)
            assert await archivist(store).work() == Moved(brought=100_000, is_full=True)
        assert on(disk) == {}
        assert await archivist(store).work() == Moved(put=100_000)


async def test_wrong_bytes_in_the_archive_lie_in_the_quarantine(root, disk, push, make_image) -> None:
    """Issue 5, section 3: damage is put aside as bytes, on the store's own disk, and is not served."""
    image = make_image(LAYERS[0])
    async with archived(root, disk) as store:
        await put_away(store, push, root.ours, image)
        path = store.files.archived(FIRST)
        path.write_bytes(LAYERS[1])
        [fault] = [fault for fault in await faults(store) if fault.mark is not None]
        assert (fault.kind, fault.mark) == ("wrong bytes", mark_of(path.stat()))
        assert not await store.losses.repair(fault)
        kept = store.files.root / "quarantine" / f"sha256-{FIRST.hex}"
        assert (kept.is_symlink(), kept.read_bytes()) == (False, LAYERS[1])
        assert store.index.blob(FIRST) is None
        await archivist(store).work()
        assert on(disk) == {}


async def test_a_backup_has_the_bytes_and_no_links(root, disk, push, make_image, tmp_path: Path) -> None:
    """Issue 5, section 3: a backup is whole without the archive's disk."""
    image = make_image(LAYERS[0])
    async with archived(root, disk) as store:
        await put_away(store, push, root.ours, image)
        snapshots = Snapshots(store.files.root)

        async def take() -> Path:
            return snapshot_path(store.files.root, await snapshots.take(lambda *_: None))

        manifest, _ = await back_up(root.path, tmp_path / "backup", take, lambda *_: None)
        assert manifest.missing == 0
        [path] = (tmp_path / "backup").glob(f"blobs/*/*/{FIRST.hex}")
        assert (path.is_symlink(), path.read_bytes()) == (False, LAYERS[0])


async def test_wrong_bytes_are_not_moved(root, disk, push, make_image) -> None:
    """They are the scrub's to find: the archive has what its names say."""
    image = make_image(LAYERS[0])
    async with archived(root, disk) as store:
        await push.image(store, root.ours, image)
        await turn(store, root.ours, image, "ARCHIVED")
        store.files.path(FIRST).write_bytes(LAYERS[1])
        assert await archivist(store).work() == Moved()
        assert on(disk) == {}


async def test_the_job_counts_what_it_moves_and_tells_how_the_disk_is(root, disk, push, make_image) -> None:
    """Issue 5, section 4: disk."""
    image = make_image(LAYERS[0])
    before = telemetry.readings(telemetry.ARCHIVE_MOVED, "_total").get(("in",), 0.0)
    async with archived(root, disk) as store:
        await push.image(store, root.ours, image)
        await turn(store, root.ours, image, "ARCHIVED")
        job = archivist(store)
        assert await job.look()
        assert telemetry.readings(telemetry.ARCHIVE_MOVED, "_total")["in",] == before + 100_000
        assert telemetry.reading(telemetry.ARCHIVE_SIZE) > telemetry.reading(telemetry.ARCHIVE_FREE) > 0
        await asyncio.to_thread(shutil.rmtree, disk)
        assert not await job.look()
        assert telemetry.reading(telemetry.ARCHIVE_AWAY) == 1
