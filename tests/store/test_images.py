"""Images: manifests as the ECR API sees them."""

from registries import HOME

from mirror.oci.digest import digest_of
from mirror.oci.names import Repository
from mirror.store.store import Store

OURS = Repository(HOME, "", "team/app")
AT = 1_700_000_000.0


async def test_an_images_size_is_what_it_names_and_its_tags_are_in_order(store: Store, push, make_image) -> None:
    """ECR.md 1.3, DescribeImages: config and layers."""
    image = make_image(b"twelve bytes")
    await push.image(store, OURS, image, ["v2", "v1"])
    (found,) = await store.images.page(OURS)
    assert (found.digest, found.tags, found.image_size) == (image.digest, ("v1", "v2"), 12 + 2)
    assert (found.pushed_at, found.status, found.pulled_at) == (AT, "ACTIVE", None)


async def test_images_are_paged_by_digest_and_chosen_by_tag_and_status(store: Store, push, make_image) -> None:
    """ECR.md 1.3: filters tagStatus and imageStatus."""
    images = [make_image(bytes([number])) for number in range(5)]
    for number, image in enumerate(images):
        await push.image(store, OURS, image, [f"v{number}"] if number % 2 else [])
    digests = sorted(str(image.digest) for image in images)
    first = await store.images.page(OURS, limit=2)
    rest = await store.images.page(OURS, after=str(first[-1].digest))
    assert [str(image.digest) for image in (*first, *rest)] == digests
    assert len(await store.images.page(OURS, tagged=True)) == 2
    assert len(await store.images.page(OURS, tagged=False)) == 3
    await store.images.set_status(OURS, images[0].digest, "ARCHIVED", AT + 5)
    assert [image.digest for image in await store.images.page(OURS, status="ARCHIVED")] == [images[0].digest]
    assert len(await store.images.page(OURS, status="ACTIVE")) == 4


async def test_an_archived_image_is_no_member_to_serve_until_it_is_pushed_again(root, push, make_image) -> None:
    """ECR.md 2.9: archived images cannot be pulled; a push restores them at once."""
    image = make_image(b"layer")
    async with root.open() as store:
        await push.image(store, OURS, image, ["v1"])
        assert await store.images.set_status(OURS, image.digest, "ARCHIVED", AT + 5)
        assert store.index.member(OURS, image.digest).archived
    async with root.open(rebuilt=True) as store:
        assert store.index.member(OURS, image.digest).archived
        await push.image(store, OURS, image, ["v1"])
        assert not store.index.member(OURS, image.digest).archived
        (found,) = await store.images.page(OURS)
        assert (found.status, found.pushed_at, found.archived_at) == ("ACTIVE", AT, AT + 5)
        assert found.activated_at is not None


async def test_removing_the_last_tag_deletes_the_image(store: Store, push, make_image) -> None:
    """ECR.md 5 item 8."""
    image = make_image(b"layer")
    await push.image(store, OURS, image, ["v1", "v2"])
    assert await store.images.untag(OURS, "v1", AT) == image.digest
    assert (await store.images.page(OURS))[0].tags == ("v2",)
    assert await store.images.untag(OURS, "v2", AT) == image.digest
    assert await store.images.page(OURS) == []
    assert await store.images.untag(OURS, "v2", AT) is None


async def test_pulls_are_noted_without_a_change(store: Store, push, make_image) -> None:
    """ECR.md 1.3: lastRecordedPullTime is written lazily, many at once."""
    image = make_image(b"layer")
    await push.image(store, OURS, image)
    before = len(await store.catalog.changes(0, 100))
    await store.images.note_pulls({(OURS, image.digest): AT + 9})
    assert (await store.images.page(OURS))[0].pulled_at == AT + 9
    assert len(await store.catalog.changes(0, 100)) == before


async def test_a_blob_is_found_under_the_type_that_an_image_gives_it(store: Store, push, make_image) -> None:
    """ECR.md 1.3, GetDownloadUrlForLayer: of a blob that is referenced by an image."""
    await push.image(store, OURS, make_image(b"layer"))
    found = await store.images.named_by_an_image(OURS, digest_of(b"layer"))
    assert found == ("application/vnd.oci.image.layer.v1.tar", "ACTIVE")
    assert await store.images.named_by_an_image(OURS, digest_of(b"other")) is None


async def test_many_blobs_are_found_in_one_read_each_by_the_image_that_can_be_pulled(
    store: Store, push, make_image
) -> None:
    """ECR.md 1.3, BatchCheckLayerAvailability: ARCHIVED is a layer of archived images alone."""
    first, second = make_image(b"1"), make_image(b"2")
    await push.image(store, OURS, first)
    await push.image(store, OURS, second)
    assert await store.images.set_status(OURS, first.digest, "ARCHIVED", AT)
    one, two, config = digest_of(b"1"), digest_of(b"2"), digest_of(b"{}")
    found = await store.images.named_by_images(OURS, [one, two, config, digest_of(b"other")])
    assert {digest: status for digest, (_, status) in found.items()} == {
        one: "ARCHIVED",
        two: "ACTIVE",
        config: "ACTIVE",
    }
