"""The catalog: names, the change log, and the index that follows."""

import asyncio

import pytest
from registries import HOME
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from mirror.oci.digest import digest_of
from mirror.oci.errors import NameInvalid
from mirror.oci.manifest import Descriptor, Manifest
from mirror.oci.names import Registry, Repository
from mirror.store.catalog import Child
from mirror.store.changes import Change
from mirror.store.entries import TagEntry
from mirror.store.ledger import Entry
from mirror.store.store import Store

OURS = Repository(HOME, "", "team/app")
HUB = Repository(HOME, "docker.io", "library/nginx")
AT = 1_700_000_000.0


async def kinds(store: Store) -> list[str]:
    return [change.kind for change in await store.catalog.changes(0, 1000)]


async def test_a_pushed_image_is_in_rows_log_and_index_when_the_push_is_answered(store, push, make_image) -> None:
    """DESIGN walk 3: one SQL transaction (rows + change log) -> project -> 201."""
    image = make_image(b"layer")
    await push.image(store, OURS, image, ["v1", "latest"])
    held = store.index.read_tag(OURS.key(), b"v1")
    assert held is not None
    assert held[-1] == image.body
    assert store.index.tags(OURS, "", 10) == ["latest", "v1"]
    assert all(store.index.blob(digest_of(blob)) for blob in image.blobs)
    assert await kinds(store) == [
        "repository.created",
        "blob.linked",
        "blob.linked",
        "manifest.put",
        "tag.set",
        "tag.set",
    ]
    assert store.index.cursor() == 6


async def test_a_change_carries_what_its_readers_need(store, push, make_image) -> None:
    """changes.py: the rows that a change speaks of may be gone when it is read."""
    image = make_image(b"layer")
    await push.image(store, OURS, image)
    put = next(change for change in await store.catalog.changes(0, 100) if change.kind == "manifest.put")
    assert put.detail["blobs"][1] == [
        str(digest_of(b"layer")),
        5,
        "application/vnd.oci.image.layer.v1.tar",
    ]
    assert (put.repository, put.digest, put.at, put.detail["size"]) == (OURS, image.digest, AT, len(image.body))


async def test_a_cached_manifest_lets_its_repository_serve_blobs_that_are_not_here(store, make_image) -> None:
    """Issue section 4: what is asked for is fetched; the repository knows that it may."""
    image = make_image(b"layer")
    await asyncio.to_thread(store.files.write, image.digest, image.body)
    await store.catalog.put_manifest(HUB, image.digest, image.manifest, len(image.body), ["1"], AT, whole=False)
    member = store.index.member(HUB, digest_of(b"layer"))
    assert (member.kind, member.size) == ("blob", 5)
    assert store.index.blob(digest_of(b"layer")) is None
    assert store.index.blob(image.digest).data == image.body
    assert not store.index.owned(HOME, HUB.name)


async def test_putting_a_manifest_again_changes_only_its_tags(store, push, make_image) -> None:
    """distribution-spec, "Pushing Manifests": a manifest may be pushed again, under another tag."""
    image = make_image(b"layer", b"layer")
    await push.image(store, OURS, image, ["v1"])
    await push.image(store, OURS, image, ["v2"])
    assert store.index.tags(OURS, "", 10) == ["v1", "v2"]
    assert len(await store.catalog.children(OURS, image.digest)) == 2


async def test_a_tag_moves_and_goes(store, push, make_image) -> None:
    """distribution-spec, "Deleting tags"."""
    one, two = make_image(b"1"), make_image(b"2")
    await push.image(store, OURS, one, ["v1"])
    await push.image(store, OURS, two)
    await store.catalog.set_tag(OURS, "v1", two.digest, AT + 1)
    assert store.index.tag(OURS, "v1") == TagEntry(two.digest, AT + 1)
    assert await store.catalog.delete_tag(OURS, "v1", AT + 2)
    assert not await store.catalog.delete_tag(OURS, "v1", AT + 3)
    assert not await store.catalog.delete_tag(Repository(HOME, "", "nobody"), "v1", AT + 3)
    assert store.index.tag(OURS, "v1") is None


async def test_a_deleted_manifest_takes_its_tags_along_and_leaves_the_blobs(store, push, make_image) -> None:
    """distribution-spec, "Deleting Manifests"."""
    image, other = make_image(b"1"), make_image(b"2")
    await push.image(store, OURS, image, ["a", "b"])
    await push.image(store, OURS, other, ["c"])
    assert await store.catalog.delete_manifest(OURS, image.digest, AT)
    assert not await store.catalog.delete_manifest(OURS, image.digest, AT)
    assert store.index.member(OURS, image.digest) is None
    assert store.index.tags(OURS, "", 10) == ["c"]
    assert store.index.member(OURS, digest_of(b"1")) is not None
    assert await store.catalog.children(OURS, image.digest) == []


async def test_an_unlinked_blob_is_gone_from_one_repository_only(store, push) -> None:
    """distribution-spec, "Deleting Blobs"; the bytes are stored once for all repositories."""
    other = Repository(HOME, "", "team/other")
    digest = await push.blob(store, OURS, b"shared")
    await push.blob(store, other, b"shared")
    assert await store.catalog.blob_repositories(HOME, digest) == [OURS, other]
    assert await store.catalog.unlink_blob(OURS, digest, AT)
    assert not await store.catalog.unlink_blob(OURS, digest, AT)
    assert store.index.member(OURS, digest) is None
    assert store.index.member(other, digest) is not None
    assert store.index.blob(digest) is not None


async def test_a_blob_that_many_others_have_is_found_in_the_registry_that_is_asked_about(
    store: Store, push, monkeypatch: pytest.MonkeyPatch
) -> None:
    """distribution-spec, "Mounting a blob": what other registries have does not use up the rows of one answer."""
    monkeypatch.setattr("mirror.store.catalog.ROWS_MAX", 2)
    others = Registry("222222222222")
    for number in range(3):
        await push.blob(store, Repository(others, "", f"team/{number}"), b"shared")
    digest = await push.blob(store, OURS, b"shared")
    assert await store.catalog.blob_repositories(HOME, digest) == [OURS]


async def test_referrers_are_found_by_their_subject(store, push, make_image) -> None:
    """distribution-spec, "Listing Referrers": the subject need not be here yet."""
    image = make_image(b"1")
    signature = make_image(b"sig", subject=image)
    await push.image(store, OURS, signature)
    [found] = await store.catalog.referrers(OURS, image.digest)
    assert (found.digest, found.size, found.annotations) == (signature.digest, len(signature.body), {"who": "us"})
    assert found.artifact_type == "application/vnd.test.config"
    assert await store.catalog.referrers(HUB, image.digest) == []


async def test_children_are_told_by_kind(store) -> None:
    """DESIGN walk 5: children before parents; foreign layers stay where they are."""
    layer, foreign, child = (digest_of(name) for name in (b"layer", b"foreign", b"child"))
    manifest = Manifest(
        "m/t",
        blobs=(Descriptor("l/l", layer, 1), Descriptor("l/f", foreign, 2, foreign=True)),
        manifests=(Descriptor("m/c", child, 3),),
    )
    await store.catalog.put_manifest(OURS, digest_of(b"m"), manifest, 1, [], AT, whole=True, body=b"m")
    found = await store.catalog.children(OURS, digest_of(b"m"))
    assert set(found) == {
        Child(layer, 1, "l/l", "blob"),
        Child(foreign, 2, "l/f", "foreign"),
        Child(child, 3, "m/c", "manifest"),
    }
    assert store.index.member(OURS, child) is None


async def test_repositories_are_listed_page_by_page(store, push) -> None:
    """distribution-spec has no _catalog; clients ask for it, in pages, in order."""
    names = [Repository(HOME, "", "b"), Repository(HOME, "", "a"), Repository(HOME, "", "a/c")]
    for repository in names:
        await push.blob(store, repository, b"x")
    assert await store.catalog.repositories(HOME, None, 2) == [Repository(HOME, "", "a"), Repository(HOME, "", "a/c")]
    assert await store.catalog.repositories(HOME, Repository(HOME, "", "a/c"), 2) == [Repository(HOME, "", "b")]
    assert store.index.repositories(HOME, None, 10) == await store.catalog.repositories(HOME, None, 10)


async def test_a_mutation_that_fails_fails_alone(store) -> None:
    """ledger.py: a refusal rolls back only its own mutation, whoever shared the commit."""

    async def refuse(entry: Entry) -> None:
        await entry.make_repository(Repository(HOME, "", "refused"), AT)
        raise NameInvalid("no")

    ledger = store.catalog._ledger
    results = await asyncio.gather(
        store.catalog.link_blob(OURS, digest_of(b"1"), 1, "a/b", AT),
        ledger.commit(refuse),
        store.catalog.link_blob(OURS, digest_of(b"2"), 1, "a/b", AT),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), NameInvalid, type(None)]
    assert await store.catalog.repositories(HOME, None, 10) == [OURS]
    assert await kinds(store) == ["repository.created", "blob.linked", "blob.linked"]


async def test_mutations_that_wait_share_a_commit_and_keep_their_order(store) -> None:
    """ledger.py: one writer, many mutations a commit, changes in the order of their seq."""
    repositories = [Repository(HOME, "", f"r{number}") for number in range(150)]
    await asyncio.gather(*(store.catalog.link_blob(one, digest_of(b"1"), 1, "a/b", AT) for one in repositories))
    changes = await store.catalog.changes(0, 1000)
    assert [change.seq for change in changes] == list(range(1, 301))
    assert [change.repository for change in changes if change.kind == "blob.linked"] == repositories
    assert store.index.cursor() == 300


async def test_what_the_index_could_not_take_goes_first_the_next_time(store, monkeypatch) -> None:
    """DESIGN section 2: no change is left out, though a consumer may be late."""
    real = store.index.apply

    async def broken(changes: object, find: object) -> None:
        raise OSError("no")

    monkeypatch.setattr(type(store.index), "apply", lambda _self, changes, find: broken(changes, find))
    with pytest.raises(OSError, match="no"):
        await store.catalog.link_blob(OURS, digest_of(b"1"), 1, "a/b", AT)
    monkeypatch.undo()
    assert real is not None
    await store.catalog.link_blob(OURS, digest_of(b"2"), 1, "a/b", AT)
    assert store.index.member(OURS, digest_of(b"1")) is not None
    assert store.index.cursor() == 3


async def test_readers_cannot_write(store) -> None:
    """RELIABILITY finding 2: exactly one connection writes and checkpoints."""
    with pytest.raises(OperationalError, match="readonly"):
        async with store.database.read() as connection:
            await connection.execute(text("DELETE FROM tags"))


async def test_the_writer_is_durable_and_the_log_is_a_wal(store) -> None:
    """RELIABILITY 3.2: WAL with synchronous=FULL lost nothing in 300 power cuts, NORMAL did."""
    async with store.database.write() as connection:
        answers = [
            (await connection.execute(text(f"PRAGMA {name}"))).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert answers == ["wal", 2, 1]


def test_a_change_reads_as_it_was_written() -> None:
    """changes.py: the log's row and the change are the same thing."""
    assert Change("tag.deleted", OURS, AT, tag="v1").row()["detail"] == "{}"
