"""The store as a whole: what a start puts right, a rebuild restores and a check finds."""

import asyncio
import shutil
import sqlite3

from registries import HOME

from mirror.oci.digest import digest_of
from mirror.oci.names import Repository
from mirror.store.entries import BlobEntry
from mirror.store.store import Store
from mirror.store.verify import Verification, unheld

OURS = Repository(HOME, "", "team/app")
HUB = Repository(HOME, "docker.io", "library/nginx")


def seen(store: Store) -> dict[bytes, list[tuple[bytes, bytes]]]:
    """Return all that the index holds, for comparing."""
    tables = store.index._tables
    with store.index._environment.begin() as transaction:
        names = ("blobs", "inline", "members", "tags", "repositories", "meta")
        return {name: list(transaction.cursor(getattr(tables, name))) for name in names}


async def push_two(store, push, make_image) -> None:
    await push.image(store, OURS, make_image(b"layer", bytes(70_000)), ["v1", "latest"])
    image = make_image(b"far away")
    await asyncio.to_thread(store.files.write, image.digest, image.body)
    await store.catalog.put_manifest(HUB, image.digest, image.manifest, len(image.body), ["1"], 7.0, whole=False)
    await push.blob(store, OURS, b"gone")
    await store.catalog.unlink_blob(OURS, digest_of(b"gone"), 8.0)
    await store.index.drop_blob(digest_of(b"gone"))


async def test_a_store_opens_again_with_all_that_was_in_it(root, push, make_image) -> None:
    """Issue section 6: restart, nothing lost."""
    async with root.open() as store:
        await push_two(store, push, make_image)
        before = seen(store)
    async with root.open() as store:
        assert seen(store) == before


async def test_a_first_start_is_nothing_to_warn_of(root, events) -> None:
    """Issue section 2: one command starts a node; its log has no alarm in it."""
    async with root.open() as store:
        assert await store.catalog.repositories(HOME, None, 1) == []
    assert {event["log_level"] for event in events} == {"info"}


async def test_a_lost_index_is_built_again_as_it_was(root, push, make_image, events) -> None:
    """DESIGN section 2: the index may be lost; the database and the files rebuild it."""
    async with root.open() as store:
        await push_two(store, push, make_image)
        before = seen(store)
    shutil.rmtree(root.path / "index.lmdb")
    async with root.open() as store:
        assert seen(store) == before
    assert "index is built again" in [event["event"] for event in events]


async def test_a_cut_off_index_is_built_again(root, push, make_image) -> None:
    """RELIABILITY 3.1: never a SIGBUS, never an empty registry."""
    async with root.open() as store:
        await push_two(store, push, make_image)
        before = seen(store)
    data = root.path / "index.lmdb" / "data.mdb"
    data.write_bytes(data.read_bytes()[:20_000])
    async with root.open() as store:
        assert seen(store) == before


async def test_reindex_makes_what_the_projection_made(root, push, make_image) -> None:
    """Issue section 2: `mirror reindex`."""
    told = []
    async with root.open() as store:
        await push_two(store, push, make_image)
        before = seen(store)
    async with root.open(rebuilt=True, progress=lambda step, done, of: told.append((step, done, of))) as store:
        assert seen(store) == before
    assert {step for step, _, _ in told} == {"blobs", "rows"}
    assert told[-1][1] == told[-1][2] > 0


async def test_an_index_of_another_database_is_built_again(root, push, make_image) -> None:
    """store.py: a database put back from a backup has an older end than the index knows."""
    async with root.open() as store:
        await push_two(store, push, make_image)
    with sqlite3.connect(root.path / "mirror.db") as connection:
        connection.execute("DELETE FROM changes WHERE seq > 3")
    connection.close()
    async with root.open() as store:
        assert store.index.cursor() == 3


async def test_the_index_catches_up_with_what_was_committed_without_it(root, push) -> None:
    """DESIGN section 2: start-up replays the changes behind the projection's cursor."""
    async with root.open() as store:
        await push.blob(store, OURS, b"one")
    copy = root.path.with_name("old-index")
    shutil.copytree(root.path / "index.lmdb", copy)
    async with root.open() as store:
        await push.blob(store, OURS, b"two")
        before = seen(store)
    shutil.rmtree(root.path / "index.lmdb")
    copy.rename(root.path / "index.lmdb")
    async with root.open() as store:
        assert seen(store) == before


LARGE = [bytes([mark]) * 70_000 for mark in b"abcde"]  # above what the index has a copy of


async def test_a_start_makes_misses_of_blobs_whose_file_is_gone_or_short(root, push, events) -> None:
    """DESIGN section 2: an entry without its file must never exist. A short file is left for nobody to take up."""
    async with root.open() as store:
        gone, short, fine = [await push.blob(store, OURS, data) for data in LARGE[:3]]
        files = store.files
    files.path(gone).unlink()
    files.path(short).write_bytes(LARGE[1][:-1])
    async with root.open() as store:
        assert [store.index.blob(digest) is None for digest in (gone, short, fine)] == [True, True, False]
        assert not store.files.path(short).exists()
    assert len([event["fault"] for event in events if event["event"] == "blob lost"]) == 2


async def test_a_start_writes_a_small_blob_again_from_the_index(root, push, events) -> None:
    """What the disk has twice is not lost with one of the two."""
    async with root.open() as store:
        digest = await push.blob(store, OURS, b"small")
        files = store.files
    files.path(digest).unlink()
    async with root.open() as store:
        assert store.files.path(digest).read_bytes() == store.index.blob(digest).data == b"small"
    assert [event for event in events if event["event"] == "blob lost"] == []


async def test_a_rebuild_takes_up_no_file_that_has_become_shorter(root, push) -> None:
    """Issue section "Integrity": a truncated file is never served, whoever looks at it first."""
    async with root.open() as store:
        digest = await push.blob(store, OURS, LARGE[0])
        store.files.path(digest).write_bytes(LARGE[0][:-1])
    async with root.open(rebuilt=True) as store:
        assert store.index.blob(digest) is None


async def faults(store: Store, *, repair: bool = False) -> set[tuple[str, str]]:
    found = set()
    async for fault in Verification(store).faults():
        found.add((fault.kind, str(fault.digest)))
        if repair:
            await store.losses.repair(fault)
    return found


async def test_a_check_of_a_good_store_finds_nothing(store, push, make_image) -> None:
    """Issue section 2: `mirror verify`."""
    await push.image(store, OURS, make_image(b"layer"), ["v1"])
    assert await faults(store) == set()


async def test_a_check_finds_each_fault_and_a_repair_ends_it(store, push) -> None:
    """RELIABILITY finding 9: a bit-rotten or truncated blob is found, and never served again."""
    rotten, gone, stray, strange = (digest_of(data) for data in (LARGE[0], LARGE[1], b"stray", b"strange"))
    await push.blob(store, OURS, LARGE[0])
    await push.blob(store, OURS, LARGE[1])
    await asyncio.to_thread(store.files.write, stray, b"stray")
    await push.blob(store, OURS, b"strange")
    store.files.path(rotten).write_bytes(LARGE[2])
    store.files.path(gone).unlink()
    await store.index.put_blob(strange, BlobEntry(7, 0, b"STRANGE"))
    expected = {
        ("wrong bytes", str(rotten)),
        ("entry without file", str(gone)),
        ("file without entry", str(stray)),
        ("wrong inline bytes", str(strange)),
    }
    assert await faults(store) == expected
    assert await faults(store, repair=True) == expected
    # What nobody has any more is told of for as long as a repository of our own names it.
    assert await faults(store) == {("name without bytes", str(rotten)), ("name without bytes", str(gone))}
    assert store.index.blob(rotten) is None
    assert (store.files.root / "quarantine" / f"sha256-{rotten.hex}").read_bytes() == LARGE[2]
    assert store.index.blob(stray).data == b"stray"


async def test_what_is_being_pushed_is_not_taken_for_lost(store, push) -> None:
    """A push has its rows a moment before the index has its entry: the guard knows of it."""
    digest = await push.blob(store, OURS, LARGE[0])
    await store.index.drop_blob(digest)
    async with store.guard.hold(digest):
        assert [one async for one in unheld(store)] == []
    assert [one async for one in unheld(store)] == [digest]
