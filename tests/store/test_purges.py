"""Purges: what goes with an image, what stays for others, and what a forecast says."""

import json

import pytest
from registries import HOME

from mirror.oci import media
from mirror.oci.digest import digest_of
from mirror.oci.names import Repository
from mirror.store import purges
from mirror.store.mutations import NamedByLists
from mirror.store.purges import Gone
from mirror.store.store import Store

HUB = Repository(HOME, "docker.io", "library/nginx")
AT = 1_700_000_000.0


def digests(store: Store) -> set[str]:
    """What the index lets the repository serve."""
    with store.index._begin() as transaction, transaction.cursor(store.index._tables.members) as cursor:
        prefix = HUB.key()
        return {key.removeprefix(prefix).hex() for key, _ in cursor if key.startswith(prefix)}


async def test_an_image_goes_with_its_artifacts_and_leaves_what_others_name(store: Store, push, make_image) -> None:
    """A layer of another image stays, an artifact about the artifact goes."""
    image, other = make_image(b"shared", b"own"), make_image(b"shared", b"another")
    sbom = make_image(b"sbom", subject=image)
    signature = make_image(b"signature", subject=sbom)
    for one, tags in ((image, ["v1"]), (other, ["v2"]), (sbom, []), (signature, [])):
        await push.image(store, HUB, one, tags)
    gone = await store.purges.forecast(HUB, "v1")
    bodies = sum(len(one.body) for one in (image, sbom, signature))
    assert gone == Gone(tags=1, manifests=3, blobs=3, size=bodies + len(b"own" + b"sbom" + b"signature"))
    assert await store.purges.purge(HUB, "v1", AT) == gone
    left = {digest_of(data).key().hex() for data in (other.body, *other.blobs)}
    assert digests(store) == left
    assert await store.purges.purge(HUB, "v1", AT) == Gone()
    assert [change.kind for change in await store.catalog.changes(0, 1_000)].count("manifest.deleted") == 3


async def test_a_tag_that_is_not_the_last_goes_alone(store: Store, push, make_image) -> None:
    """The other tag was checked at another time: it is none of this one's business."""
    image = make_image(b"layer")
    await push.image(store, HUB, image, ["v1", "latest"])
    assert await store.purges.purge(HUB, "v1", AT) == Gone(tags=1)
    assert store.index.tag(HUB, "v1") is None
    assert store.index.tag(HUB, "latest").digest == image.digest


async def test_a_child_goes_with_the_last_list_that_names_it(store: Store, push, make_image) -> None:
    """Not with the first one; and by itself never, for its list would be whole in name only."""
    child = make_image(b"layer")
    lists = []
    for mark in ("one", "two"):
        entry = {"mediaType": media.OCI_MANIFEST, "digest": str(child.digest), "size": len(child.body)}
        body = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": [entry], "annotations": {"mark": mark}}
        lists.append(type(child)(json.dumps(body).encode(), ()))
    await push.image(store, HUB, child, [])
    for number, one in enumerate(lists):
        await push.image(store, HUB, one, [f"v{number}"])
    with pytest.raises(NamedByLists):
        await store.purges.purge(HUB, child.digest, AT)
    assert (await store.purges.purge(HUB, lists[0].digest, AT)).manifests == 1
    assert (await store.purges.purge(HUB, "v1", AT)).manifests == 2
    assert digests(store) == set()


async def test_all_of_a_repository_goes_some_at_a_time_and_the_repository_stays(
    root, push, make_image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it is set to, and its policies, are the operator's; a rebuilt index says the same."""
    monkeypatch.setattr(purges, "IMAGES_MAX", 2)
    monkeypatch.setattr(purges, "LINKS_MAX", 2)
    async with root.open() as store:
        for number in range(5):
            await push.image(store, HUB, make_image(b"shared", bytes([number])), [f"v{number}"])
        for data in (b"lone", b"alone"):
            await store.catalog.link_blob(HUB, digest_of(data), len(data), "", AT)
        forecast = await store.purges.forecast(HUB, None)
        gone, rounds = Gone(), 0
        while some := await store.purges.purge_some(HUB, AT):
            gone, rounds = gone + some, rounds + 1
        assert gone == forecast
        assert (gone.tags, gone.manifests, gone.blobs, rounds) == (5, 5, 9, 4)
        assert digests(store) == set()
        assert store.index.settings(HUB) is not None
    async with root.open(rebuilt=True) as store:
        assert digests(store) == set()
        assert await store.purges.forecast(HUB, None) == Gone()
