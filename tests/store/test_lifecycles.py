"""Lifecycle rows: what a policy wanted is done only to what it has seen."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from registries import HOME

from mirror.oci import media
from mirror.oci.digest import digest_of
from mirror.oci.manifest import parse_manifest
from mirror.oci.names import Repository
from mirror.rules.lifecycle import Action
from mirror.rules.lifecycle import Image as Judged
from mirror.store import lifecycles
from mirror.store.lifecycles import EVALUATED, LIFECYCLE, PolicyChanged
from mirror.store.store import Store

OURS = Repository(HOME, "", "team/app")
AT = 1_700_000_000.0
POLICY = "the policy's text"
Change = Callable[[Store, Any, Any], Awaitable[object]]


async def judged(store: Store) -> dict[str, Judged]:
    return {image.digest: image for image in await store.lifecycles.images(OURS)}


async def set_up(store: Store, push: Any, image: Any, *tags: str) -> None:
    await push.image(store, OURS, image, list(tags))
    await store.catalog.put_document(OURS, LIFECYCLE, POLICY, AT)


async def _tag(store: Store, _: Any, image: Any) -> None:
    await store.catalog.set_tag(OURS, "new", image.digest, AT + 5)


async def _untag(store: Store, _: Any, image: Any) -> None:
    await store.images.untag(OURS, "v1", AT + 5)


async def _pull(store: Store, _: Any, image: Any) -> None:
    await store.images.note_pulls({(OURS, image.digest): AT + 5})


async def _restore(store: Store, _: Any, image: Any) -> None:
    await store.images.set_status(OURS, image.digest, "ACTIVE", AT + 5)


async def _list(store: Store, _: Any, image: Any) -> None:
    child = {"mediaType": media.OCI_MANIFEST, "digest": str(image.digest), "size": len(image.body)}
    body = json.dumps({"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": [child]}).encode()
    await asyncio.to_thread(store.files.write, digest_of(body), body)
    await store.catalog.put_manifest(OURS, digest_of(body), parse_manifest(body), len(body), [], AT + 5, whole=True)


async def _delete(store: Store, _: Any, image: Any) -> None:
    await store.images.delete(OURS, image.digest, AT + 5)


@pytest.mark.parametrize("change", [_tag, _untag, _pull, _restore, _list, _delete])
async def test_an_image_that_has_changed_since_it_was_judged_is_left(
    store: Store, push: Any, make_image: Any, change: Change
) -> None:
    """Issue 5, section 1: it is looked at again in the transaction that would delete it."""
    image, other = make_image(b"layer"), make_image(b"other")
    await set_up(store, push, image, "v1", "v2")
    await push.image(store, OURS, other, ["old"])
    known = await judged(store)
    await change(store, push, image)
    actions = [Action(one, "expire", 1) for one in known.values()]
    done = await store.lifecycles.act(OURS, POLICY, actions, known, AT + 9)
    assert [action.image.tags for action in done] == [("old",)]
    assert (str(image.digest) in await judged(store)) is (change is not _delete)
    assert str(other.digest) not in await judged(store)


async def test_artifacts_stay_with_a_subject_that_has_changed(store: Store, push: Any, make_image: Any) -> None:
    """ECR.md 2.3, "Evaluation" 5: they follow it, so they stay where it stays; one of a late subject too."""
    image, late = make_image(b"layer"), make_image(b"late")
    signature, early = make_image(b"signature", subject=image), make_image(b"early", subject=late)
    await set_up(store, push, image, "v1")
    await push.image(store, OURS, signature)
    await push.image(store, OURS, early)
    known = await judged(store)
    await _tag(store, push, image)
    await push.image(store, OURS, late)
    actions = [
        Action(known[str(signature.digest)], "expire", 1, str(image.digest)),
        Action(known[str(image.digest)], "expire", 1),
        Action(known[str(early.digest)], "expire", 0, str(late.digest)),
    ]
    assert await store.lifecycles.act(OURS, POLICY, actions, known, AT + 9) == []
    assert len(await judged(store)) == 4


async def test_a_policy_that_is_another_one_does_nothing(store: Store, push: Any, make_image: Any) -> None:
    """Taken away in the middle of a run, it stops the run."""
    image = make_image(b"layer")
    await set_up(store, push, image, "v1")
    known = await judged(store)
    await store.catalog.put_document(OURS, LIFECYCLE, None, AT)
    with pytest.raises(PolicyChanged):
        await store.lifecycles.act(OURS, POLICY, [Action(known[str(image.digest)], "expire", 1)], known, AT)
    assert await judged(store) == known


async def test_an_archived_image_keeps_its_tags_and_its_event_says_what_it_is(
    store: Store, push: Any, make_image: Any
) -> None:
    """ECR.md 2.9, and 6.1: the event has the media types."""
    image = make_image(b"layer")
    await set_up(store, push, image, "v1")
    known = await judged(store)
    await store.lifecycles.act(OURS, POLICY, [Action(known[str(image.digest)], "transition", 1)], known, AT + 9)
    (found,) = (await judged(store)).values()
    assert (found.storage_class, found.archived_at, found.tags) == ("archive", AT + 9, ("v1",))
    change = (await store.catalog.changes(0, 100))[-1]
    assert change.kind == "manifest.status"
    assert change.detail == {
        "status": "ARCHIVED",
        "media_type": image.manifest.media_type,
        "artifact_type": "application/vnd.test.config",
        "subject": None,
    }


async def test_what_was_archived_with_an_image_is_restored_with_it(store: Store, push: Any, make_image: Any) -> None:
    """ECR.md 6.1, "ECR Referrer Action": by a restore and by a push; a signature of an SBOM too."""
    image = make_image(b"layer")
    sbom = make_image(b"sbom", subject=image)
    signature, other = make_image(b"signature", subject=sbom), make_image(b"other")
    for one in (image, sbom, signature, other):
        await push.image(store, OURS, one)
    for restore in (
        lambda: store.images.set_status(OURS, image.digest, "ACTIVE", AT + 5),
        lambda: push.image(store, OURS, image, ["v1"]),
    ):
        for one in (image, sbom, signature, other):
            await store.images.set_status(OURS, one.digest, "ARCHIVED", AT + 1)
        await restore()
        archived = [one.digest for one in (await judged(store)).values() if one.storage_class == "archive"]
        assert archived == [str(other.digest)]


async def test_repositories_with_a_policy_are_paged_with_their_times(
    store: Store, push: Any, make_image: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run before the policy was put is not one of it; what has no policy is not there."""
    monkeypatch.setattr(lifecycles, "PAGE", 2)
    for number in range(4):
        repository = Repository(HOME, "", f"app-{number}")
        await push.image(store, repository, make_image(b"layer"))
        if number:
            await store.catalog.put_document(repository, LIFECYCLE, POLICY, AT)
            await store.lifecycles.note_run(repository, AT + number - 2)
    first = await store.lifecycles.page()
    rest = await store.lifecycles.page(first[-1].id)
    assert [(one.repository.name, one.put_at, one.evaluated_at) for one in (*first, *rest)] == [
        ("app-1", AT, None),
        ("app-2", AT, AT),
        ("app-3", AT, AT + 1),
    ]
    assert await store.lifecycles.page(rest[-1].id) == []
    assert await store.lifecycles.standing(Repository(HOME, "", "app-0")) is None
    assert await store.catalog.document(Repository(HOME, "", "app-3"), EVALUATED) == ""
