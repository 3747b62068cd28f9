"""The index: reads in microseconds, writes in groups, and a map that grows."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from registries import HOME

from mirror.oci.digest import digest_of
from mirror.oci.errors import Unavailable
from mirror.oci.names import Repository
from mirror.store.changes import Change
from mirror.store.entries import BlobEntry, Document, Member, TagEntry, blob_entry
from mirror.store.environment import IndexDamaged, open_environment
from mirror.store.index import Index
from mirror.store.projection import Projection

OURS = Repository(HOME, "", "team/app")
HUB = Repository(HOME, "docker.io", "team/app")
DIGEST = digest_of(b"one")
OTHER = digest_of(b"two", "sha512")
AT = 1_700_000_000.5


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[Index]:
    opened = await Index.open(tmp_path / "index.lmdb")
    await opened.finish_build(0)
    yield opened
    await opened.close()


async def put(index: Index, *changes: Change) -> None:
    """Let the index take in changes whose bytes nobody has."""
    await index.apply(changes, lambda _: None)


def linked(repository: Repository, seq: int = 1) -> Change:
    return Change("blob.linked", repository, AT, DIGEST, detail={"size": 3, "media_type": "a/b"}, seq=seq)


def manifest_put(repository: Repository, seq: int = 1, *, whole: bool = False) -> Change:
    blobs = [(str(OTHER), 7, "x/layer")]
    detail = {"size": 3, "media_type": "m/t", "whole": whole, "blobs": blobs}
    return Change("manifest.put", repository, AT, DIGEST, detail=detail, seq=seq)


async def test_small_blobs_come_with_their_bytes_and_large_ones_without(index: Index) -> None:
    """Issue section 5: to 64 KiB from the index, no thread hop."""
    await index.put_blob(DIGEST, blob_entry(b"one"))
    await index.put_blob(OTHER, BlobEntry(5_000_000_000, 7))
    assert index.blob(DIGEST) == blob_entry(b"one")
    assert index.blob(OTHER) == BlobEntry(5_000_000_000, 7)
    await index.drop_blob(DIGEST)
    assert index.blob(DIGEST) is None


async def test_a_digest_is_a_member_of_one_repository_only(index: Index) -> None:
    """DESIGN section 5: no cross-repository reads, also between two upstreams' repositories of one name."""
    await put(index, linked(OURS))
    assert index.member(OURS, DIGEST) == Member("blob", "a/b", 3, linked=True, proven=True)
    assert index.member(HUB, DIGEST) is None
    assert index.member(Repository(HOME, "", "team/ap"), DIGEST) is None


async def test_a_manifest_makes_its_blobs_members_before_they_are_here(index: Index) -> None:
    """DESIGN walk 2: a cached repository knows the sizes of blobs that it has not fetched yet."""
    await put(index, manifest_put(HUB))
    assert index.member(HUB, OTHER) == Member("blob", "x/layer", 7, linked=True)
    assert index.blob(OTHER) is None


async def test_bytes_that_are_manifest_and_blob_stay_the_one_when_the_other_goes(index: Index) -> None:
    """distribution-spec: deleting a manifest does not delete a blob, nor the other way round."""
    await put(index, linked(OURS, 1), manifest_put(OURS, 2))
    both = index.member(OURS, DIGEST)
    assert both is not None
    assert (both.kind, both.linked) == ("manifest", True)
    await put(index, linked(OURS, 3), Change("blob.unlinked", OURS, AT, DIGEST, seq=4))
    assert index.member(OURS, DIGEST) == Member("manifest", "m/t", 3)
    await put(index, linked(OURS, 5), Change("manifest.deleted", OURS, AT, DIGEST, seq=6))
    now = index.member(OURS, DIGEST)
    assert now is not None
    assert (now.kind, now.linked) == ("blob", True)
    await put(index, Change("blob.unlinked", OURS, AT, DIGEST, seq=7))
    assert index.member(OURS, DIGEST) is None


async def test_a_tag_says_what_it_points_at_and_when_it_was_checked(index: Index) -> None:
    """DESIGN section 2: (repository, tag) -> digest and freshness."""
    await put(index, Change("tag.set", OURS, AT, DIGEST, "v1", seq=1))
    assert index.tag(OURS, "v1") == TagEntry(DIGEST, AT)
    await index.touch_tag(OURS, "v1", AT + 5)
    assert index.tag(OURS, "v1") == TagEntry(DIGEST, AT + 5)
    await put(index, Change("tag.deleted", OURS, AT, tag="v1", seq=2))
    await index.touch_tag(OURS, "v1", AT + 9)
    assert index.tag(OURS, "v1") is None


async def test_posted_writes_arrive_in_order_with_the_awaited(index: Index) -> None:
    """index.py: a posted write is one that nobody waits for, not one that overtakes."""
    await put(index, Change("tag.set", OURS, AT, DIGEST, "v1", seq=1), manifest_put(OURS, 2))
    index.post_touch_tag(OURS, "v1", AT + 1)
    index.post_mark_whole(OURS, DIGEST)
    index.post_touch_tag(OURS, "v1", AT + 2)
    await put(index, linked(OURS, 3))
    tag, member = index.tag(OURS, "v1"), index.member(OURS, DIGEST)
    assert tag is not None
    assert member is not None
    assert (tag.checked_at, member.whole) == (AT + 2, True)


async def test_closing_commits_what_is_queued_and_takes_no_more(tmp_path: Path) -> None:
    """index_writer.py: `close` ends the thread after what is queued."""
    index = await Index.open(tmp_path / "index.lmdb")
    await index.finish_build(0)
    await put(index, Change("tag.set", OURS, AT, DIGEST, "v1", seq=1))
    index.post_touch_tag(OURS, "v1", AT + 1)
    await index.close()
    index.post_touch_tag(OURS, "v1", AT + 2)
    with pytest.raises(Unavailable):
        await index.put_blob(DIGEST, BlobEntry(1))
    again = await Index.open(tmp_path / "index.lmdb")
    assert again.tag(OURS, "v1") == TagEntry(DIGEST, AT + 1)
    await again.close()


async def test_the_cursor_moves_with_the_changes(index: Index) -> None:
    """DESIGN section 2: the projection's cursor is in the transaction that takes the changes in."""
    assert index.cursor() == 0
    await put(index, linked(OURS, 7), linked(HUB, 9))
    assert index.cursor() == 9


async def test_a_change_that_cannot_be_taken_in_moves_nothing(index: Index) -> None:
    """index_writer.py: a failure is only its own, and whole."""
    broken = Change("manifest.put", OURS, AT, DIGEST, detail={"size": 3}, seq=2)
    fine = asyncio.ensure_future(index.put_blob(OTHER, BlobEntry(1)))
    with pytest.raises(KeyError):
        await put(index, linked(OURS, 1), broken)
    await fine
    assert index.cursor() == 0
    assert index.member(OURS, DIGEST) is None
    assert index.blob(OTHER) == BlobEntry(1)


async def test_tags_and_repositories_are_listed_in_order_page_by_page(index: Index) -> None:
    """distribution-spec, "Listing Tags": ASCIIbetical; `last` is not in the answer, and need not exist."""
    names = ["v1", "V1", "latest", "a", "v10", "v2", "_x"]
    for seq, name in enumerate(names, 1):
        await put(index, Change("tag.set", OURS, AT, DIGEST, name, seq=seq))
    await put(index, Change("tag.set", Repository(HOME, "", "team/apq"), AT, DIGEST, "zz", seq=8))
    assert index.tags(OURS, "", 100) == sorted(names)
    assert index.tags(OURS, "v1", 1) == ["v10"]
    assert index.tags(OURS, "m", 2) == ["v1", "v10"]
    assert index.tags(OURS, "v2", 5) == []


async def test_our_own_repositories_are_known_by_name(index: Index) -> None:
    """rules/routing.py: what was pushed here is never shadowed by an upstream's repository of the same name."""
    other = Repository(HOME, "", "a")
    await put(index, Change("repository.created", HUB, AT, seq=1))
    assert not index.owned(HOME, "team/app")
    await put(index, *(Change("repository.created", one, AT, seq=2) for one in (OURS, other)))
    assert index.owned(HOME, "team/app")
    assert not index.owned(HOME, "team")
    assert index.repositories(HOME, None, 10) == [other, OURS, HUB]
    assert index.repositories(HOME, other, 1) == [OURS]


async def test_an_upstreams_answer_is_kept_until_it_is_dropped(index: Index) -> None:
    """Issue section 4: tag lists and referrers are served stale offline."""
    await index.put_document(HUB, "tags", Document(b'{"tags":[]}', AT))
    assert index.document(HUB, "tags") == Document(b'{"tags":[]}', AT)
    await index.drop_document(HUB, "tags")
    assert index.document(HUB, "tags") is None


async def test_the_express_lane_reads_what_the_normal_way_reads(index: Index) -> None:
    """DESIGN, "The express lane": it must be indistinguishable."""
    change = Change("tag.set", OURS, AT, DIGEST, "v1", seq=2)
    await put(index, manifest_put(OURS, 1, whole=True), change)
    assert index.read_tag(OURS.key(), b"v1") is None
    await index.put_blob(DIGEST, blob_entry(b"one"))
    held = index.read_digest(OURS.key(), DIGEST.key())
    assert held == (1 | 4, b"m/t", 3, b"one")
    assert index.read_tag(OURS.key(), b"v1") == (AT, DIGEST.key(), *held)
    assert index.read_tag(OURS.key(), b"v2") is None
    assert index.read_digest(HUB.key(), DIGEST.key()) is None


async def test_a_full_map_grows_while_readers_read(tmp_path: Path) -> None:
    """RELIABILITY 3.3: set_mapsize invalidates open read transactions, so it happens between two callbacks."""
    index = await Index.open(tmp_path / "small.lmdb", map_bytes=256 * 1024)
    stop = asyncio.Event()
    reads = 0

    async def read() -> None:
        nonlocal reads
        while not stop.is_set():
            index.blob(DIGEST)
            reads += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(read())
        digests = [digest_of(bytes([number])) for number in range(100)]
        await asyncio.gather(*(index.put_blob(digest, blob_entry(bytes(50_000))) for digest in digests))
        stop.set()
    assert all(index.blob(digest) is not None for digest in digests)
    assert reads
    await index.close()


async def test_many_writers_share_a_commit(index: Index) -> None:
    """RELIABILITY 3.1: group commit."""
    before = index._environment.info()["last_txnid"]
    await asyncio.gather(*(index.put_blob(digest_of(str(number).encode()), BlobEntry(1)) for number in range(500)))
    assert index._environment.info()["last_txnid"] - before < 100


async def test_an_index_that_was_never_finished_is_not_used(tmp_path: Path) -> None:
    """store.py: a rebuild that was cut off starts anew."""
    index = await Index.open(tmp_path / "new.lmdb")
    with pytest.raises(IndexDamaged):
        index.cursor()
    await index.close()


@pytest.mark.parametrize("damage", [b"", b"\0" * 16_384, None])
async def test_a_damaged_index_is_said_to_be(tmp_path: Path, damage: bytes | None) -> None:
    """RELIABILITY 3.1: a missing or broken data.mdb is built again, never a SIGBUS."""
    path = tmp_path / "index.lmdb"
    index = await Index.open(path)
    await index.finish_build(0)
    for number in range(300):
        await index.put_blob(digest_of(str(number).encode()), BlobEntry(number))
    await index.close()
    data = path / "data.mdb"
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2] if damage is None else damage)
    with pytest.raises(IndexDamaged):
        await _open_and_close(path)


async def _open_and_close(path: Path) -> None:
    index = await Index.open(path)
    try:
        index.cursor()
    finally:
        await index.close()


STEPS = {"link": linked, "unlink": "blob.unlinked", "put": manifest_put, "delete": "manifest.deleted"}


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.sampled_from([OURS, HUB])), max_size=12))
def test_membership_follows_the_changes_whatever_their_order(steps: list[tuple[str, Repository]]) -> None:
    """projection.py: a digest is a blob while linked and a manifest while put; the two do not disturb each other."""
    held: dict[Repository, set[str]] = {OURS: set(), HUB: set()}
    changes = []
    for seq, (step, repository) in enumerate(steps, 1):
        made = STEPS[step]
        changes.append(
            Change(made, repository, AT, DIGEST, seq=seq) if isinstance(made, str) else made(repository, seq)
        )
        kind = "blob" if "link" in step else "manifest"
        (held[repository].discard if step in ("unlink", "delete") else held[repository].add)(kind)
    with tempfile.TemporaryDirectory() as directory:
        environment, tables = open_environment(Path(directory), 1024 * 1024)
        with environment.begin(write=True) as transaction:
            projection = Projection(transaction, tables)
            projection.apply(changes, lambda _: None)
            for repository, kinds in held.items():
                member = projection.member(repository, DIGEST)
                is_manifest = member is not None and member.kind == "manifest"
                assert (is_manifest, member is not None and member.linked) == ("manifest" in kinds, "blob" in kinds)
        environment.close()
