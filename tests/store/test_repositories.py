"""Repositories in the store: made, set, renamed, deleted with all they have; each registry has its own."""

import orjson
import pytest
from registries import HOME

from mirror.oci.digest import digest_of
from mirror.oci.names import Registry, Repository
from mirror.store.entries import Member
from mirror.store.mutations import TagTaken
from mirror.store.store import Store

OURS = Repository(HOME, "", "team/app")
THEIRS = Repository(Registry("222222222222"), "", "team/app")
PUBLIC = Repository(Registry(HOME.account, public=True), "", "team/app")
AT = 1_700_000_000.0


async def test_the_same_name_in_three_registries_is_three_repositories(store: Store, push, make_image) -> None:
    """ECR.md 5 item 12: account and plane isolate state."""
    image = make_image(b"layer")
    await push.image(store, OURS, image, ["v1"])
    for other in (THEIRS, PUBLIC):
        assert store.index.settings(other) is None
        assert store.index.tags(other, "", 10) == []
        assert store.index.member(other, image.digest) is None
        assert await store.catalog.create_repository(other, b"{}", AT)
    assert store.index.repositories(HOME, None, 10) == [OURS]
    assert store.index.repositories(PUBLIC.registry, None, 10) == [PUBLIC]
    assert await store.catalog.delete_repository(THEIRS, AT, force=True)
    assert store.index.tags(OURS, "", 10) == ["v1"]


async def test_a_repository_is_made_once_with_its_settings(root) -> None:
    """catalog.py: False when it is there already; a rebuild finds the same settings."""
    async with root.open() as store:
        assert await store.catalog.create_repository(OURS, b'{"mutability":"IMMUTABLE"}', AT)
        assert not await store.catalog.create_repository(OURS, b"{}", AT + 1)
        changed = await store.catalog.change_settings(OURS, lambda old: old.replace(b"IMMUTABLE", b"MUTABLE"), AT)
        assert changed is not None
        assert orjson.loads(changed) == {"created_at": AT, "mutability": "MUTABLE"}
        assert store.index.settings(OURS) == changed
        assert await store.catalog.change_settings(THEIRS, lambda old: old, AT) is None
    async with root.open(rebuilt=True) as store:
        assert store.index.settings(OURS) == changed


async def test_a_deleted_repository_leaves_nothing_behind(root, push, make_image) -> None:
    """ECR API reference, DeleteRepository: images go with it, by force; a new one of that name is empty."""
    image = make_image(b"layer")
    async with root.open() as store:
        await push.image(store, OURS, image, ["v1"])
        await store.catalog.put_document(OURS, "lifecycle", "{}", AT)
        assert await store.catalog.delete_repository(OURS, AT, force=False) is False
        assert await store.catalog.delete_repository(OURS, AT, force=True) is True
        assert await store.catalog.delete_repository(OURS, AT, force=True) is None
        await gone(store, image.digest)
        kinds = [change.kind for change in await store.catalog.changes(0, 100)]
        assert kinds[-4:] == ["repository.document", "tag.deleted", "manifest.deleted", "repository.deleted"]
        assert await store.catalog.create_repository(OURS, b"{}", AT)
        await gone(store, image.digest)
    async with root.open(rebuilt=True) as store:
        await gone(store, image.digest)


async def test_each_image_and_tag_that_goes_with_a_repository_is_in_the_log(store: Store, push, make_image) -> None:
    """changes.py: who follows the log forgets them one by one; without force none is touched."""
    one, two = make_image(b"one"), make_image(b"two")
    await push.image(store, OURS, one, ["v1", "latest"])
    await push.image(store, OURS, two, ["v2"])
    before = len(await store.catalog.changes(0, 100))
    assert await store.catalog.delete_repository(OURS, AT, force=False) is False
    assert len(await store.catalog.changes(0, 100)) == before
    assert await store.catalog.delete_repository(OURS, AT, force=True) is True
    *found, last = (await store.catalog.changes(0, 100))[before:]
    assert last.kind == "repository.deleted"
    assert {(change.kind, change.digest, change.tag) for change in found} == {
        ("tag.deleted", one.digest, "v1"),
        ("tag.deleted", one.digest, "latest"),
        ("tag.deleted", two.digest, "v2"),
        ("manifest.deleted", one.digest, ""),
        ("manifest.deleted", two.digest, ""),
    }


async def gone(store: Store, digest) -> None:
    assert store.index.tags(OURS, "", 10) == []
    assert store.index.member(OURS, digest) is None
    assert store.index.member(OURS, digest_of(b"layer")) is None
    assert await store.catalog.document(OURS, "lifecycle") is None


async def test_deleted_and_made_again_in_one_batch_is_a_new_one(store: Store) -> None:
    """ledger.py: what a transaction forgot is not found in the memory of ids."""
    await store.catalog.create_repository(OURS, b"{}", AT)
    await store.catalog.delete_repository(OURS, AT, force=True)
    await store.catalog.link_blob(OURS, digest_of(b"x"), 1, "", AT)
    assert store.index.member(OURS, digest_of(b"x")) is not None


async def test_a_renamed_repository_serves_what_it_did(root, push, make_image) -> None:
    """ECR.md 2.5: deleting a pull-through rule keeps its repositories."""
    image = make_image(b"layer")
    cached = Repository(HOME, "hub", "library/nginx")
    kept = Repository(HOME, "", "hub/library/nginx")
    async with root.open() as store:
        await push.image(store, cached, image, ["v1"])
        assert await store.catalog.rename_repository(cached, kept, AT)
        assert not await store.catalog.rename_repository(cached, kept, AT)
        assert store.index.settings(cached) is None
        assert store.index.tags(cached, "", 10) == []
        await moved(store, kept, image.digest)
    async with root.open(rebuilt=True) as store:
        await moved(store, kept, image.digest)


async def moved(store: Store, kept: Repository, digest) -> None:
    assert store.index.tags(kept, "", 10) == ["v1"]
    assert store.index.member(kept, digest) is not None
    assert await store.catalog.repositories(HOME, None, 10) == [kept]


async def test_of_two_pushes_of_one_immutable_tag_the_second_is_refused_in_the_transaction(store, push, make_image):
    """RELIABILITY A12: race of two pushes of one new tag."""
    first, second = make_image(b"1"), make_image(b"2")
    await push.image(store, OURS, first)
    await push.image(store, OURS, second)

    async def tag(image) -> None:
        await store.catalog.put_manifest(
            OURS, image.digest, image.manifest, len(image.body), ["v1"], AT, whole=True, new_only=["v1"]
        )

    await tag(first)
    with pytest.raises(TagTaken):
        await tag(second)
    entry = store.index.tag(OURS, "v1")
    assert entry is not None
    assert entry.digest == first.digest


async def test_a_claim_of_a_cached_manifest_is_no_proof_and_never_undoes_one(store, make_image) -> None:
    """RELIABILITY A7: what an upstream's manifest names may be fetched, not given."""
    image, layer = make_image(b"layer"), digest_of(b"layer")
    cached = Repository(HOME, "hub", "evil/app")
    put = store.catalog.put_manifest
    await put(cached, image.digest, image.manifest, len(image.body), [], AT, whole=False)
    claimed = store.index.member(cached, layer)
    assert claimed == Member("blob", "application/vnd.oci.image.layer.v1.tar", 5, linked=True)
    await store.catalog.link_blob(cached, layer, 5, "", AT)
    await put(cached, image.digest, image.manifest, len(image.body), ["v1"], AT, whole=False)
    proven = store.index.member(cached, layer)
    assert proven is not None
    assert proven.proven
