"""What becomes of lost bytes: never served, never taken for right ones, never deleted unseen, and told to images."""

import asyncio
import json
import os
from random import Random
from typing import Any

import pytest
from registries import HOME

from mirror.oci import media
from mirror.oci.digest import Digest, digest_of
from mirror.oci.manifest import parse_manifest
from mirror.oci.names import Repository
from mirror.store import quarantine
from mirror.store.examination import Fault, missing
from mirror.store.quarantine import mark_of
from mirror.store.store import Store

LARGE = Random(6).randbytes(70_000)
OURS = Repository(HOME, "", "team/app")
AT = 1_700_000_000.0


def quarantined(store: Store) -> dict[str, bytes]:
    folder = store.files.root / "quarantine"
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def spoil(store: Store, digest: Digest, data: bytes) -> Fault:
    """Put other bytes into a blob's file, as a disk does."""
    path = store.files.path(digest)
    path.write_bytes(data)
    return Fault("wrong bytes", digest, mark_of(path.stat()))


async def test_wrong_bytes_are_a_miss_and_lie_in_the_quarantine(store, push) -> None:
    """Issue section "Integrity": a damaged blob is quarantined."""
    digest = await push.blob(store, OURS, LARGE)
    assert not await store.losses.repair(spoil(store, digest, LARGE[::-1]))
    assert store.index.blob(digest) is None
    assert not store.files.path(digest).exists()
    assert quarantined(store) == {f"sha256-{digest.hex}": LARGE[::-1]}


async def test_a_small_blob_is_written_again_from_the_index(store, push) -> None:
    """What the disk has twice is mended here; the wrong file is kept all the same."""
    digest = await push.blob(store, OURS, b"small")
    assert await store.losses.repair(spoil(store, digest, b"SMALL"))
    assert store.files.path(digest).read_bytes() == b"small"
    assert quarantined(store) == {f"sha256-{digest.hex}": b"SMALL"}


async def test_bytes_that_were_pushed_again_are_not_set_aside_for_those_before_them(store, push) -> None:
    """Between the look and the repair a push may have put the right file there."""
    digest = await push.blob(store, OURS, LARGE)
    fault = spoil(store, digest, LARGE[::-1])
    await push.blob(store, OURS, LARGE)
    assert await store.losses.repair(fault)
    assert store.files.path(digest).read_bytes() == LARGE
    assert quarantined(store) == {}


async def test_a_short_file_is_not_left_for_somebody_to_take_up(store, push) -> None:
    """A link to a blob takes up the file that it finds: it must not find a short one."""
    digest = await push.blob(store, OURS, LARGE)
    store.files.path(digest).write_bytes(LARGE[:-1])
    await store.losses.drop(digest)
    assert store.index.blob(digest) is None
    await store.catalog.link_blob(Repository(HOME, "", "other"), digest, len(LARGE), "", AT)
    assert store.index.blob(digest) is None


async def test_a_file_of_another_size_than_a_link_says_is_not_taken_up(store) -> None:
    """Also where nobody has noticed yet: a blob has the size that its repository was told."""
    digest = digest_of(LARGE)
    await asyncio.to_thread(store.files.write, digest, LARGE[:-1])
    await store.catalog.link_blob(OURS, digest, len(LARGE), "", AT)
    assert store.index.blob(digest) is None


async def test_a_blob_that_is_there_after_all_is_not_dropped(store, push) -> None:
    """It came again between the look of who misses it and this one's."""
    digest = await push.blob(store, OURS, LARGE)
    await store.losses.drop(digest)
    assert store.index.blob(digest) is not None
    assert await missing(store.files, store.index, [digest]) == []


async def test_the_images_that_a_lost_blob_is_needed_for_are_not_whole_any_more(store, push, make_image, root) -> None:
    """mirror/README, "Manifest before blobs": also the lists that name them; other images are what they were."""
    hit, other = make_image(LARGE), make_image(LARGE[1:])
    inner = await put_list(store, root.hub, hit.digest)
    outer = await put_list(store, root.hub, inner)
    for image in (hit, other):
        await keep(store, root.hub, image)
    for digest in (hit.digest, other.digest, inner, outer):
        await store.index.mark_whole(root.hub, digest)
    await store.losses.repair(spoil(store, digest_of(LARGE), b"x" * len(LARGE)))
    found = [store.index.member(root.hub, digest).whole for digest in (hit.digest, inner, outer, other.digest)]
    assert found == [False, False, False, True]


async def test_the_quarantine_is_bounded_by_files_and_by_bytes(store, push, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest make room; what came last stays, for it is what somebody will ask about."""
    monkeypatch.setattr(quarantine, "FILES_MAX", 3)
    digests = []
    for number in range(6):
        digests.append(await push.blob(store, OURS, bytes([number]) * 70_000))
        await store.losses.repair(spoil(store, digests[-1], b"%d" % number * 70_000))
        os.utime(store.files.root / "quarantine" / f"sha256-{digests[-1].hex}", (number, number))
    assert set(quarantined(store)) == {f"sha256-{digest.hex}" for digest in digests[-3:]}
    monkeypatch.setattr(quarantine, "BYTES_MAX", 100)
    last = await push.blob(store, OURS, LARGE)
    await store.losses.repair(spoil(store, last, LARGE[::-1]))
    assert set(quarantined(store)) == {f"sha256-{last.hex}"}


async def keep(store: Store, repository: Repository, image: Any) -> None:
    """Keep an image of an upstream's with all its blobs."""
    for blob in image.blobs:
        await asyncio.to_thread(store.files.write, digest_of(blob), blob)
        await store.catalog.link_blob(repository, digest_of(blob), len(blob), "", AT)
    await put(store, repository, image.body)


async def put_list(store: Store, repository: Repository, *children: Digest) -> Digest:
    listed = [{"mediaType": media.OCI_MANIFEST, "digest": str(child), "size": 7} for child in children]
    body = json.dumps({"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": listed}).encode()
    return await put(store, repository, body)


async def put(store: Store, repository: Repository, body: bytes) -> Digest:
    digest = digest_of(body)
    await asyncio.to_thread(store.files.write, digest, body)
    await store.catalog.put_manifest(
        repository, digest, parse_manifest(body), len(body), [], AT, whole=False, body=body
    )
    return digest
