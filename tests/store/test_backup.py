"""Backups of a store: whole at each moment, with what was deleted meanwhile, with what is lost."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from mirror.oci.digest import digest_of
from mirror.store.backup import MANIFEST, Manifest, back_up, bring_back, read_manifest
from mirror.store.files import StoreLocked
from mirror.store.shelves import Brought
from mirror.store.snapshot import LEFT_S_MAX, Snapshots, snapshot_path
from mirror.store.store import Store
from mirror.store.verify import Verification

LARGE = b"layer" * 20_000  # more than the index holds


def unseen(done: int, total: int) -> None:
    """Nobody watches."""


def snapshot_of(store: Store) -> Callable[[], Awaitable[Path]]:
    snapshots = Snapshots(store.files.root)

    async def take() -> Path:
        return snapshot_path(store.files.root, await snapshots.take(unseen))

    return take


async def backed_up(store: Store, directory: Path, **options: bool) -> tuple[Manifest, Brought]:
    return await back_up(store.files.root, directory, snapshot_of(store), unseen, **options)


def blobs_in(directory: Path) -> set[str]:
    return {path.name for path in directory.glob("blobs/*/*/*")}


async def test_a_restored_store_has_every_image_and_no_fault(root, store, push, make_image, tmp_path) -> None:
    """Issue 5, "Integrity": backup and restore; blobs of any size, sha256 and tags."""
    image = make_image(b"small", LARGE)
    await push.image(store, root.ours, image, ["v1"])
    manifest, brought = await backed_up(store, tmp_path / "backup")
    assert (manifest.blobs, manifest.tags, manifest.missing, brought.new) == (4, 1, 0, 4)
    new = type(root)(tmp_path / "new")
    await bring_back(tmp_path / "backup", new.path, unseen)
    async with new.open(rebuilt=True) as restored:
        tag = restored.index.tag(root.ours, "v1")
        assert tag is not None and tag.digest == image.digest
        assert [fault async for fault in Verification(restored).faults()] == []
        for data in (image.body, *image.blobs):
            assert await asyncio.to_thread(restored.files.read, digest_of(data)) == data
            assert restored.index.blob(digest_of(data)) is not None


async def test_on_one_filesystem_a_backup_links_unless_it_is_told_to_copy(store, root, push, tmp_path) -> None:
    """Files never change once they have their name, so a link is as good as a copy; the database is always copied."""
    digest = await push.blob(store, root.ours, LARGE)
    await backed_up(store, tmp_path / "linked")
    await backed_up(store, tmp_path / "copied", copied=True)
    here = store.files.path(digest)
    of = {name: tmp_path / name / here.relative_to(store.files.root) for name in ("linked", "copied")}
    assert of["linked"].samefile(here)
    assert not of["copied"].samefile(here)
    assert of["copied"].read_bytes() == LARGE
    await bring_back(tmp_path / "linked", tmp_path / "new", unseen)
    assert (tmp_path / "new" / "mirror.db").stat().st_nlink == 1


async def test_a_second_backup_brings_what_is_new_and_drops_what_is_gone(store, root, push, tmp_path) -> None:
    """Incremental when DIR already holds an earlier backup."""
    old = await push.blob(store, root.ours, b"old")
    kept = await push.blob(store, root.ours, b"kept")
    await backed_up(store, tmp_path / "backup")
    await store.catalog.unlink_blob(root.ours, old, root.at)
    new = await push.blob(store, root.ours, b"new")
    manifest, brought = await backed_up(store, tmp_path / "backup")
    assert (manifest.blobs, brought.new) == (2, 1)
    assert blobs_in(tmp_path / "backup") == {kept.hex, new.hex}
    assert [path.name for path in (tmp_path / "backup").glob("*.db")] == [manifest.database]


async def test_what_is_deleted_while_blobs_are_brought_is_not_in_the_backup(store, root, push, tmp_path) -> None:
    """The first copy of the database names a blob that is gone when its turn comes; the second one does not."""
    doomed = await push.blob(store, root.ours, b"doomed")
    kept = await push.blob(store, root.ours, b"kept")
    take, taken = snapshot_of(store), []

    async def take_and_delete() -> Path:
        taken.append(await take())
        if len(taken) == 1:
            await store.catalog.unlink_blob(root.ours, doomed, root.at)
            gone = await store.collection.collect([doomed], root.at + 2 * store.guard.grace_s)
            assert gone.blobs == 1
        return taken[-1]

    manifest, brought = await back_up(store.files.root, tmp_path / "backup", take_and_delete, unseen)
    assert (len(taken), manifest.blobs, brought.missing) == (2, 1, set())
    assert blobs_in(tmp_path / "backup") == {kept.hex}
    assert not any(path.exists() for path in taken)


async def test_a_blob_that_the_node_has_lost_is_told_and_an_older_backup_keeps_it(store, root, push, tmp_path) -> None:
    """A loss is never hidden, and a backup never drops the last copy of what is still named."""
    digest = await push.blob(store, root.ours, b"precious")
    await backed_up(store, tmp_path / "older")
    await asyncio.to_thread(store.files.path(digest).unlink)
    manifest, brought = await backed_up(store, tmp_path / "first")
    assert (manifest.missing, brought.missing) == (1, {digest})
    manifest, brought = await backed_up(store, tmp_path / "older")
    assert (manifest.missing, manifest.blobs, brought.new) == (0, 1, 0)
    assert blobs_in(tmp_path / "older") == {digest.hex}


async def test_an_evicted_blob_of_an_upstream_is_no_loss(store, root, tmp_path, push) -> None:
    """What is cached can be fetched anew: that it is not here is a miss."""
    digest = await push.blob(store, root.hub, b"cached")
    await asyncio.to_thread(store.files.path(digest).unlink)
    manifest, brought = await backed_up(store, tmp_path / "backup")
    assert (manifest.missing, manifest.blobs, brought.missing) == (0, 0, set())


async def test_a_backup_that_was_broken_off_leaves_the_older_one_whole(store, root, push, tmp_path) -> None:
    """The manifest is renamed into place last: DIR is at each moment one whole backup."""
    await push.blob(store, root.ours, b"one")
    first, _ = await backed_up(store, tmp_path / "backup")

    def broken_off(done: int, total: int) -> None:
        raise OSError("the line is cut")

    await push.blob(store, root.ours, b"two")
    with pytest.raises(OSError, match="the line is cut"):
        await back_up(store.files.root, tmp_path / "backup", snapshot_of(store), broken_off)
    assert await asyncio.to_thread(read_manifest, tmp_path / "backup") == first
    brought = await bring_back(tmp_path / "backup", tmp_path / "new", unseen)
    assert (brought.blobs, brought.missing) == (1, set())


async def test_a_restore_that_was_broken_off_goes_on(store, root, push, tmp_path) -> None:
    """The database comes last, and what has its name is whole."""
    await push.blob(store, root.ours, b"one")
    await push.blob(store, root.ours, b"two")
    await backed_up(store, tmp_path / "backup")

    def broken_off(done: int, total: int) -> None:
        if done == total:
            raise OSError("the line is cut")

    with pytest.raises(OSError, match="the line is cut"):
        await bring_back(tmp_path / "backup", tmp_path / "new", broken_off)
    brought = await bring_back(tmp_path / "backup", tmp_path / "new", unseen)
    assert (brought.blobs, brought.new) == (2, 0)


async def test_a_store_is_never_restored_over(store, root, tmp_path) -> None:
    """Restore refuses a store that is there."""
    await backed_up(store, tmp_path / "backup")
    with pytest.raises(FileExistsError, match="there is a store here"):
        await bring_back(tmp_path / "backup", store.files.root, unseen)


async def test_a_directory_of_other_things_is_left_alone(store, tmp_path) -> None:
    """What no manifest names is removed from a backup: never from somebody's home, or from a store."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter").write_text("Dear")
    for directory in (tmp_path / "home", store.files.root):
        with pytest.raises(FileExistsError, match="not empty, and no backup"):
            await backed_up(store, directory)
    assert (tmp_path / "home" / "letter").read_text() == "Dear"


async def test_two_backups_do_not_write_to_one_directory(store, tmp_path) -> None:
    """One process at a time."""
    take = snapshot_of(store)

    async def take_and_try_again() -> Path:
        with pytest.raises(StoreLocked):
            await backed_up(store, tmp_path / "backup")
        return await take()

    await back_up(store.files.root, tmp_path / "backup", take_and_try_again, unseen)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 9}, "a backup of format 9"),
        ({"database": "mirror-0.db"}, "No such file"),
        ({"database_sha256": "00"}, "not the database that was backed up"),
        ({"database": "../backup/x.db"}, "not the database"),
        ({"blobs": "many"}, "no manifest of a backup"),
    ],
    ids=["format", "database", "bytes", "elsewhere", "type"],
)
async def test_a_backup_that_cannot_be_trusted_is_refused(store, change, said, tmp_path) -> None:
    """A precise error, and no store is begun."""
    await backed_up(store, tmp_path / "backup")
    path = tmp_path / "backup" / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(OSError, match=said):
        await bring_back(tmp_path / "backup", tmp_path / "new", unseen)
    assert not (tmp_path / "new").exists()


async def test_a_snapshot_is_of_one_moment_and_nobody_elses(store, root, push) -> None:
    """SQLite, "Online Backup API": read as of the beginning of the transaction; a private file, as all of the store."""
    await push.blob(store, root.ours, b"one")
    path = await snapshot_of(store)()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent == store.files.writes


async def test_a_snapshot_that_nobody_fetched_goes_with_a_later_one(store, tmp_path) -> None:
    """A backup that is killed leaves a copy of the database behind: for an hour, then the next one removes it."""
    left, recent = [await snapshot_of(store)() for _ in range(2)]
    long_ago = left.stat().st_mtime - LEFT_S_MAX - 1
    os.utime(left, (long_ago, long_ago))
    await backed_up(store, tmp_path / "backup")
    assert (left.exists(), recent.exists()) == (False, True)
