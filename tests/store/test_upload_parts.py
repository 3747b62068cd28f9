"""The sizes of an upload's parts: what the AWS API asks of every part but the last."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.digest import digest_of
from mirror.store.upload import Parts


@given(st.lists(st.integers(1, 100), max_size=8))
def test_the_smallest_part_is_that_of_all_but_the_last(sizes: list[int]) -> None:
    """ECR quota: 5 MiB of each part, "the last one may be smaller"."""
    parts = Parts()
    for size in sizes:
        parts = parts.and_one(size)
    assert parts.smallest == min(sizes[:-1], default=0)
    assert parts.last == (sizes[-1] if sizes else 0)


async def test_parts_are_hashed_as_they_come_and_remembered_after_a_restart(root: Any) -> None:
    """RELIABILITY section 4, "Restart mid-upload"."""
    async with root.open() as store:
        upload = store.uploads.create(root.ours)
        for part in (b"abc", b"d", b"ef"):
            await upload.append_part(part)
        session = upload.session
    async with root.open() as store:
        found = await store.uploads.find(root.ours, session)
        assert (found.offset, found.parts) == (6, Parts(last=2, smallest=1, count=3))
        await found.append_part(b"ghi")
        assert found.parts == Parts(last=3, smallest=1, count=4)
        assert (await found.finish(digest_of(b"abcdefghi"))).size == 9


async def test_bytes_of_docker_clients_are_no_parts(root: Any, push: Any) -> None:
    """OCI distribution-spec: chunks may be of any size."""
    async with root.open() as store:
        upload = store.uploads.create(root.ours)
        await upload.append(push.pieces(b"a", b"b"))
        assert (upload.offset, upload.parts) == (2, Parts())


async def test_a_note_from_before_there_were_parts_is_read(root: Any) -> None:
    """A session that an older version of the node left goes on."""
    async with root.open() as store:
        upload = store.uploads.create(root.ours)
        await upload.append_part(b"abc")
        note = store.files.upload_path(upload.session).with_suffix(".json")
        session = upload.session
    note.write_text(f'{{"registry":"{root.ours.registry}","name":"{root.ours.name}"}}')
    async with root.open() as store:
        assert (await store.uploads.find(root.ours, session)).parts == Parts()
