"""Events: what the change log says, as EventBridge would say it; over a real store's log."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from registries import HOME
from stores import AT, OURS, opened, push

from mirror.oci import media
from mirror.oci.digest import digest_of
from mirror.oci.names import Registry, Repository
from mirror.registry.events import IMAGE, PULL_THROUGH, REFERRER, Event, Events
from mirror.registry.node_ids import node_id
from mirror.rules.routing import Routing, UpstreamRule
from mirror.store.changes import Change
from mirror.store.store import Store

NODE = UUID("0b0b0b0b-0000-4000-8000-000000000000")
HUB = Repository(HOME, "docker.io", "library/alpine")
ROUTING = Routing(HOME, [UpstreamRule("docker.io", "https://registry-1.docker.io", root=True)])
DIGEST = digest_of(b"an image")


def events(node: UUID = NODE) -> Events:
    return Events(node, "us-west-2", ROUTING)


def told(changes: Sequence[Change]) -> list[Event]:
    """Read a whole log."""
    placed = [None, *changes, None]
    found = [events().read(change, placed[at], placed[at + 2]) for at, change in enumerate(changes)]
    return [event for event in found if event is not None]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(tmp_path) as store:
        yield store


async def log(store: Store) -> list[Change]:
    return await store.catalog.changes(0, 1_000)


def said(found: Sequence[Event]) -> list[tuple[str, str | None, str]]:
    """Say of each event what was done, to which tag, of which image."""
    details = [event.body["detail"] for event in found]
    return [(one["action-type"], one.get("image-tag"), one["image-digest"]) for one in details]


async def test_a_push_is_told_in_the_words_of_eventbridge(store: Store) -> None:
    """ECR.md 6.1, the guide's example of a completed push."""
    digest = await push(store, OURS, "a", "latest")
    (event,) = told(await log(store))
    assert event.type == IMAGE
    assert event.body == {
        "version": "0",
        "id": event.id,
        "detail-type": "ECR Image Action",
        "source": "aws.ecr",
        "account": HOME.account,
        "time": "2019-11-16T01:54:34Z",
        "region": "us-west-2",
        "resources": [],
        "detail": {
            "result": "SUCCESS",
            "repository-name": "team/app",
            "image-digest": str(digest),
            "action-type": "PUSH",
            "image-tag": "latest",
        },
    }


async def test_a_push_is_one_event_a_tag_and_one_where_there_is_none(store: Store) -> None:
    """ECR.md 6.1: `image-tag` is absent if none; a push of two tags is two events, not three."""
    child = await push(store, OURS, "child")
    both = await push(store, OURS, "both", "v1", "latest")
    again = await push(store, OURS, "child")
    assert said(told(await log(store))) == [
        ("PUSH", None, str(child)),
        ("PUSH", "v1", str(both)),
        ("PUSH", "latest", str(both)),
        ("PUSH", None, str(again)),
    ]


async def test_a_deleted_image_is_told_once_a_tag(store: Store) -> None:
    """ECR.md 6.1: delete, "same with DELETE"."""
    bare, both = await push(store, OURS, "bare"), await push(store, OURS, "both", "v1", "v2")
    start = (await log(store))[-1].seq
    await store.catalog.delete_manifest(OURS, bare, AT)
    await store.catalog.delete_manifest(OURS, both, AT + 1)
    assert said(told([change for change in await log(store) if change.seq > start])) == [
        ("DELETE", None, str(bare)),
        ("DELETE", "v1", str(both)),
        ("DELETE", "v2", str(both)),
    ]


async def test_archiving_and_restoring_are_told_with_their_storage_class(store: Store) -> None:
    """ECR.md 6.1: UPDATE_STORAGE_CLASS; a restore says when."""
    digest = await push(store, OURS, "a", "v1")
    await store.images.set_status(OURS, digest, "ARCHIVED", AT)
    await store.images.set_status(OURS, digest, "ACTIVE", AT + 1)
    archived, restored = (event.body["detail"] for event in told(await log(store))[1:])
    assert (archived["action-type"], archived["target-storage-class"]) == ("UPDATE_STORAGE_CLASS", "ARCHIVE")
    assert "last-activated-at" not in archived
    assert (restored["target-storage-class"], restored["image-digest"]) == ("STANDARD", str(digest))
    assert restored["last-activated-at"] == "2019-11-16T01:54:35.500Z"


def test_what_an_image_is_stands_in_its_archiving_where_the_log_has_it() -> None:
    """ECR.md 6.1: `manifest-media-type`, `artifact-media-type`; a restored referrer is a Referrer Action."""
    detail = {"status": "ACTIVE", "media_type": media.OCI_MANIFEST, "artifact_type": "a/sbom", "subject": str(DIGEST)}
    (event,) = told([Change("manifest.status", OURS, AT, DIGEST, detail=detail, seq=1)])
    assert event.type == REFERRER
    assert event.body["detail"]["manifest-media-type"] == media.OCI_MANIFEST
    assert event.body["detail"]["artifact-media-type"] == "a/sbom"


async def test_a_synced_image_is_a_pull_through_cache_action(store: Store) -> None:
    """ECR.md 6.1, the guide's example: the repository is a resource, prefix and upstream are told."""
    digest = await push(store, HUB, "a", "3.17.2")
    (event,) = told(await log(store))
    assert (event.type, event.body["resources"]) == (
        PULL_THROUGH,
        [f"arn:aws:ecr:us-west-2:{HOME.account}:repository/docker.io/library/alpine"],
    )
    assert event.body["detail"] == {
        "rule-version": "1",
        "sync-status": "SUCCESS",
        "ecr-repository-prefix": "docker.io",
        "repository-name": "docker.io/library/alpine",
        "upstream-registry-url": "registry-1.docker.io",
        "image-tag": "3.17.2",
        "image-digest": str(digest),
    }


async def test_a_tag_that_upstream_moved_or_dropped(store: Store) -> None:
    """ECR.md 6.1: a sync is an event; that a cache forgets is none."""
    digest = await push(store, HUB, "a")
    start = (await log(store))[-1].seq
    await store.catalog.set_tag(HUB, "edge", digest, AT + 1)
    await store.catalog.delete_tag(HUB, "edge", AT + 2)
    await store.catalog.delete_manifest(HUB, digest, AT + 3)
    (event,) = told([change for change in await log(store) if change.seq > start])
    assert event.body["detail"]["image-tag"] == "edge"


def test_a_rule_that_is_gone_takes_its_url_with_it() -> None:
    """ECR.md 6.1: nothing is invented."""
    gone = Repository(HOME, "quay.io", "org/app")
    (event,) = told([Change("tag.set", gone, AT, DIGEST, "v1", seq=1)])
    assert event.body["detail"]["ecr-repository-prefix"] == "quay.io"
    assert "upstream-registry-url" not in event.body["detail"]


def test_a_public_registry_is_its_own_source() -> None:
    """ECR Public's events are not those of ECR: who filters by source must not mix them up."""
    public = Repository(Registry(HOME.account, public=True), "", "app")
    (event,) = told([Change("tag.set", public, AT, DIGEST, "v1", seq=1)])
    assert event.body["source"] == "aws.ecr-public"


@pytest.mark.parametrize("kind", ["repository.created", "repository.deleted", "blob.linked", "document.changed"])
def test_what_is_no_image_is_no_event(kind: Any) -> None:
    """ECR.md 6.1 names all events there are."""
    assert told([Change(kind, OURS, AT, DIGEST, seq=1)]) == []


def test_a_tag_of_another_moment_is_another_push() -> None:
    """The manifest was pushed without a tag; somebody tagged it right behind that."""
    changes = [Change("manifest.put", OURS, AT, DIGEST, seq=1), Change("tag.set", OURS, AT + 1, DIGEST, "v1", seq=2)]
    assert said(told(changes)) == [("PUSH", None, str(DIGEST)), ("PUSH", "v1", str(DIGEST))]


def test_an_event_has_the_same_id_whenever_it_is_told_and_another_on_another_node() -> None:
    """At least once: who has seen an id may drop it."""
    change = Change("tag.set", OURS, AT, DIGEST, "v1", seq=7)
    ids = [events(node).read(change, None, None) for node in (NODE, NODE, UUID(int=1))]
    first, second, other = (event.id for event in ids if event is not None)
    assert first == second != other


async def test_a_node_keeps_its_id(tmp_path: Path) -> None:
    """Ids of events begin with it."""
    async with opened(tmp_path) as store:
        made = await node_id(store.documents)
        assert await node_id(store.documents) == made
    async with opened(tmp_path) as store:
        assert await node_id(store.documents) == made
