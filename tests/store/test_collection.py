"""Garbage collection: what nothing names goes, what anything names stays, no push that was answered loses a blob."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from registries import HOME

from mirror.oci import media
from mirror.oci.digest import Digest, digest_of
from mirror.oci.names import Repository
from mirror.store import collection as collecting
from mirror.store.collection import Tally
from mirror.store.entries import blob_entry
from mirror.store.files import Files
from mirror.store.guard import NOTED_MAX, Guard, PartsGone
from mirror.store.ledger import Ledger
from mirror.store.store import Store
from mirror.store.verify import Verification

OURS = Repository(HOME, "", "team/app")
THEIRS = Repository(HOME, "", "team/other")
HUB = Repository(HOME, "docker.io", "library/nginx")
AT = 1_700_000_000.0
LATER = AT + 10_000.0
LAYER = b"layer" * 20_000  # larger than what the index holds itself
DIGEST = digest_of(LAYER)


@pytest.fixture
async def store(root) -> AsyncIterator[Store]:
    async with root.open(grace_s=0.0) as opened:
        yield opened


async def collect(store: Store, now: float = LATER) -> Tally:
    """Remove all that is due, as the job does."""
    gone = Tally()
    while due := await store.collection.due(now):
        gone = gone.plus(await store.collection.collect([digest for _, digest in due], now))
    return gone


async def is_here(store: Store, digest: Digest) -> bool:
    """Tell whether a blob is here; an entry and its file are here together."""
    entry, size = store.index.blob(digest), await asyncio.to_thread(store.files.size, digest)
    assert size == (entry.size if entry else None)
    return entry is not None


async def look_at_files(store: Store) -> None:
    digests = await asyncio.to_thread(lambda: [digest for digest, _ in store.files.scan()])
    await store.collection.look_at_files(digests, AT)


async def faults(store: Store) -> set[str]:
    return {fault.kind async for fault in Verification(store).faults()}


async def test_an_image_that_is_deleted_goes_with_its_blobs(store, push, make_image) -> None:
    """Issue 5, section 2: a blob that nothing names any more is removed, file and entry."""
    image = make_image(LAYER)
    await push.image(store, OURS, image, ["v1"])
    await store.catalog.delete_manifest(OURS, image.digest, AT + 1)
    assert (await store.collection.forecast(LATER)) == Tally(3, len(image.body) + len(LAYER) + 2)
    assert await collect(store) == Tally(3, len(image.body) + len(LAYER) + 2)
    assert [await is_here(store, one) for one in (image.digest, DIGEST, digest_of(b"{}"))] == [False] * 3
    assert store.index.member(OURS, DIGEST) is None
    assert await store.collection.forecast(LATER) == Tally()
    assert await faults(store) == set()


async def test_what_another_image_or_repository_names_stays(store, push, make_image) -> None:
    """Issue 5, section 2: blobs are shared; each that names one keeps it."""
    one, two, three = make_image(LAYER, b"one"), make_image(LAYER, b"two"), make_image(b"three")
    await push.image(store, OURS, one, ["v1"])
    await push.image(store, OURS, two, ["v2"])
    await push.image(store, THEIRS, three, ["v1"])
    await store.catalog.link_blob(HUB, digest_of(b"one"), 3, media.OCTETS, LATER)
    await store.catalog.delete_manifest(OURS, one.digest, AT + 1)
    assert await collect(store) == Tally(1, len(one.body))
    assert store.index.serves(OURS, DIGEST)
    assert await is_here(store, digest_of(b"one")), "a cached repository was given it a moment ago"
    assert not store.index.serves(OURS, digest_of(b"one"))
    await store.catalog.delete_repository(HUB, AT + 2, force=True)
    assert await store.catalog.delete_repository(THEIRS, AT + 2, force=True)
    assert (await collect(store)).blobs == 3
    assert store.index.serves(OURS, digest_of(b"{}"))
    assert await is_here(store, DIGEST)


async def test_a_child_that_a_list_names_stays(store, push, make_image) -> None:
    """Issue 5, section 2: no child of a manifest is removed."""
    image = make_image(LAYER)
    await push.image(store, OURS, image, ["v1"])
    await store.catalog.unlink_blob(OURS, DIGEST, AT + 1)
    assert await collect(store) == Tally()
    assert await is_here(store, DIGEST)


async def test_what_was_told_to_a_client_stays_for_the_grace_time(root, push) -> None:
    """FIELD pain 11; RELIABILITY G22: HEAD, then the manifest without sending the blob again, is legal."""
    async with root.open(grace_s=100.0) as store:
        now = [0.0]
        store.guard._clock = lambda: now[0]
        store.guard._turned_at = store.guard._watching_since = 0.0
        await push.blob(store, OURS, LAYER)
        await store.collection.look_at_entries(None, LATER)
        assert await store.collection.due(LATER + 99.0) == []
        assert await collect(store, LATER + 100.0) == Tally(), "nobody knows what was told before the start"
        now[0] = 100.0
        store.guard.note(DIGEST.key())
        assert await collect(store, LATER + 200.0) == Tally()
        now[0] = 199.0
        assert await collect(store, LATER + 300.0) == Tally(), "it was told less than the grace time ago"
        now[0] = 250.0
        assert await collect(store, LATER + 400.0) == Tally(1, len(LAYER))


async def test_nothing_is_taken_when_too_much_was_told(monkeypatch) -> None:
    """STYLE, a limit on everything: what is not remembered is spared, not lost."""
    monkeypatch.setattr("mirror.store.guard.NOTED_MAX", 2)
    assert NOTED_MAX > 2
    guard = Guard()
    guard.note(b"one")
    assert guard.take(DIGEST)
    guard.note(b"two")
    assert not guard.take(digest_of(b"x"))


async def test_the_walk_finds_what_nobody_wrote_down(store, push, make_image) -> None:
    """Issue 5, section 2: a full walk for what was missed: given-up pushes, and files that a crash left behind."""
    await push.blob(store, OURS, LAYER)
    image, stray = make_image(b"kept"), digest_of(b"stray")
    await push.image(store, OURS, image, ["v1"])
    await asyncio.to_thread(store.files.write, stray, b"stray")
    await store.index.drop_blob(digest_of(b"kept"))
    assert await collect(store) == Tally()
    last = await store.collection.look_at_entries(None, AT + 1)
    assert await store.collection.look_at_entries(last, AT + 1) is None
    await look_at_files(store)
    assert await is_here(store, digest_of(b"kept")), "what is needed has its entry again"
    assert await collect(store) == Tally(2, len(LAYER) + 5)
    assert await faults(store) == set()


# The race: a push that counts on a blob while it is taken away.


class Steps:
    """Stops a collection at its steps, and lets the test act there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def before(self, owner: Any, name: str, act: Callable[[], Any]) -> None:
        """Have `act` awaited, once, before the method `name` runs."""
        original, acts = getattr(owner, name), [act]

        async def wrapped(*given: Any, **more: Any) -> Any:
            if acts:
                await acts.pop()()
            return await original(*given, **more)

        self._monkeypatch.setattr(owner, name, wrapped)

    def before_blocking(self, owner: Any, name: str, act: Callable[[], object]) -> None:
        """Do the same with a method that runs in a thread."""
        original, acts = getattr(owner, name), [act]

        def wrapped(*given: Any) -> None:
            if acts:
                acts.pop()()
            original(*given)

        self._monkeypatch.setattr(owner, name, wrapped)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    return Steps(monkeypatch)


async def deleted(store: Store, push, make_image) -> Any:
    image = make_image(LAYER)
    await push.image(store, OURS, image, ["v1"])
    await store.catalog.delete_manifest(OURS, image.digest, AT + 1)
    return image


async def put_again(store: Store, image) -> None:
    parts = [blob.digest for blob in image.manifest.needed]
    await store.catalog.put_manifest(
        OURS, image.digest, image.manifest, len(image.body), ["v2"], AT + 2, whole=True, body=image.body, parts=parts
    )


async def put_held(store: Store, image) -> None:
    async with store.guard.hold(image.digest):
        await asyncio.to_thread(store.files.write, image.digest, image.body)
        await put_again(store, image)


@pytest.mark.parametrize("step", ["judge", "_answer", "_project"])
async def test_a_manifest_that_comes_while_its_blobs_are_taken_is_whole_or_refused(
    store, push, make_image, steps, monkeypatch, step
) -> None:
    """Issue 5, section 2: a push is never acknowledged for an image one of whose blobs is then deleted."""
    image = await deleted(store, push, make_image)
    pushing: list[asyncio.Task[None]] = []

    async def begin() -> None:
        pushing.append(asyncio.create_task(put_held(store, image)))
        await asyncio.sleep(0)

    steps.before(collecting if step == "judge" else Ledger, step, begin)
    await collect(store)
    [outcome] = await asyncio.gather(*pushing, return_exceptions=True)
    assert isinstance(outcome, PartsGone)
    await collect(store, LATER)
    assert store.index.tag(OURS, "v2") is None
    assert await faults(store) <= {"file without entry"}


async def take(store: Store, sizes: dict[Digest, int | None]) -> list[Digest]:
    """Collect without a look at the files before: the mutation is in the ledger's queue at once."""
    return await store.catalog._ledger.commit(lambda entry: collecting._take(entry, sizes, store.guard, LATER))


async def test_a_manifest_in_the_same_commit_keeps_its_blobs(store, push, make_image) -> None:
    """collection.py, 1: what is committed before is seen, also in the same batch; what comes behind is refused."""
    image = await deleted(store, push, make_image)
    digests = [digest for _, digest in await store.collection.due(LATER)]
    sizes = dict.fromkeys(digests, 1)
    first, second = await asyncio.gather(put_again(store, image), take(store, sizes))
    assert (first, second) == (None, [])
    assert all(store.index.serves(OURS, blob.digest) for blob in image.manifest.needed)
    await store.catalog.delete_manifest(OURS, image.digest, AT + 3)
    outcomes = await asyncio.gather(take(store, sizes), put_again(store, image), return_exceptions=True)
    assert isinstance(outcomes[1], PartsGone)
    assert await faults(store) <= {"file without entry"}


@pytest.mark.parametrize("step", ["judge", "_answer", "_project"])
async def test_a_blob_that_comes_again_while_it_is_taken_is_published_anew(
    store, push, make_image, steps, step
) -> None:
    """Issue 5, section 2: a new upload of the same digest publishes anew."""
    await deleted(store, push, make_image)
    pushing: list[asyncio.Task[None]] = []

    async def upload() -> None:
        async with store.guard.hold(DIGEST):
            await push.blob(store, OURS, LAYER)

    async def begin() -> None:
        pushing.append(asyncio.create_task(upload()))
        await asyncio.sleep(0)

    steps.before(collecting if step == "judge" else Ledger, step, begin)
    await collect(store)
    await asyncio.gather(*pushing)
    assert await is_here(store, DIGEST)
    assert store.index.serves(OURS, DIGEST)


@pytest.mark.parametrize("step", ["judge", "_answer", "_project"])
async def test_a_link_without_bytes_finds_no_file_that_is_going(store, push, make_image, steps, step) -> None:
    """collection.py, 2: a cached repository may link a digest that is not here: no projection finds a going file."""
    await deleted(store, push, make_image)
    linking: list[asyncio.Task[None]] = []

    async def begin() -> None:
        linking.append(asyncio.create_task(store.catalog.link_blob(HUB, DIGEST, len(LAYER), "", AT)))
        await asyncio.sleep(0)

    steps.before(collecting if step == "judge" else Ledger, step, begin)
    await collect(store)
    await asyncio.gather(*linking)
    assert not await is_here(store, DIGEST)


async def test_what_is_held_is_not_taken(store, push) -> None:
    """collection.py, 3: a file is published, and named, under a hold."""
    await push.blob(store, OURS, LAYER)
    await store.catalog.unlink_blob(OURS, DIGEST, AT)
    async with store.guard.hold(DIGEST):
        assert await store.collection.collect([DIGEST], LATER) == Tally()
        assert await is_here(store, DIGEST)
    assert await store.collection.collect([DIGEST], LATER) == Tally(1, len(LAYER))


async def test_an_index_that_could_not_follow_keeps_the_files(store, push, make_image, monkeypatch) -> None:
    """ledger.py: what the index could not take waits; the file of a blob that came again meanwhile is not removed."""
    image = await deleted(store, push, make_image)

    async def fail(*_: object) -> None:
        raise OSError("no")

    with monkeypatch.context() as patched:
        patched.setattr(store.index, "apply", fail)
        with pytest.raises(OSError, match="no"):
            await collect(store)
        with pytest.raises(PartsGone):
            await put_held(store, image)
    await push.blob(store, OURS, LAYER)
    assert await is_here(store, DIGEST)
    assert await faults(store) <= {"file without entry"}


async def test_a_blob_that_seems_lost_and_came_again_keeps_its_entry(store) -> None:
    """projection.py: the file is looked at in the writer's own transaction."""
    await asyncio.to_thread(store.files.write, DIGEST, LAYER)
    await store.index.put_blob(DIGEST, blob_entry(LAYER))
    await store.index.drop_lost_blob(DIGEST, store.files.entry)
    assert await is_here(store, DIGEST)
    await asyncio.to_thread(store.files.path(DIGEST).unlink)
    await store.index.drop_lost_blob(DIGEST, store.files.entry)
    assert store.index.blob(DIGEST) is None


@pytest.mark.parametrize("step", ["judge", "_answer", "_project", "set_aside", "empty_aside"])
async def test_a_node_that_dies_between_the_steps_has_no_entry_without_a_file(
    root, push, make_image, steps, step
) -> None:
    """Issue 5, section 2: kill -9 at any point; a file without an entry is found by a later walk."""
    killed = type(root)(root.path.with_name("killed"))

    def copy() -> None:
        shutil.copytree(root.path, killed.path)

    async with root.open(grace_s=0.0) as store:
        await deleted(store, push, make_image)
        if step in ("set_aside", "empty_aside"):
            steps.before_blocking(Files, step, copy)
        else:
            steps.before(collecting if step == "judge" else Ledger, step, lambda: asyncio.to_thread(copy))
        await collect(store)
    async with killed.open(grace_s=0.0) as store:
        assert await faults(store) <= {"file without entry"}
        await look_at_files(store)
        await collect(store)
        assert not await is_here(store, DIGEST)
        assert await faults(store) == set()
        assert await asyncio.to_thread(lambda: list((killed.path / "stage" / "collected").iterdir())) == []
