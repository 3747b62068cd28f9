"""One fill whose source does exactly what the test says: what its front, its sides and its readers make of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from filling import DATA, KIB, Source, Work, chunks

from mirror.oci.errors import UpstreamError
from mirror.registry import fill as fill_module
from mirror.registry.fill import TAIL_BYTES
from mirror.registry.resuming import RESUMES_MAX
from mirror.registry.sides import SIDE_FAILURES_MAX
from mirror.store.sparse import SparseFile


@pytest.fixture
async def work(tmp_path: Path) -> AsyncIterator[Work]:
    made = Work(tmp_path / "staged")
    yield made
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)


@pytest.fixture
def everything_is_far(monkeypatch: pytest.MonkeyPatch) -> None:
    """Distances and times that a test of a megabyte can have."""
    monkeypatch.setattr(fill_module, "FAR_BYTES", 64 * KIB)
    monkeypatch.setattr(fill_module, "FAR_S", 0.0)
    monkeypatch.setattr(fill_module, "RATE_AFTER_S", 0.0)
    monkeypatch.setattr("mirror.registry.resuming.RESUME_PAUSE_S", 0.001)


async def test_a_blob_is_fetched_once_and_verified(work: Work) -> None:
    """DESIGN walk 2."""
    source = Source(chunks)
    fill, running = work.begin(source)
    await running
    assert fill.verified
    assert source.asked == [(0, None)]
    assert fill.staged.path.read_bytes() == DATA


async def test_the_tail_is_withheld_until_the_digest_is_verified(work: Work) -> None:
    """Issue section 4: last bytes withheld until the digest is verified."""
    whole = asyncio.Event()

    async def all_but_the_last_byte(start: int, end: int | None) -> AsyncIterator[bytes]:
        yield DATA[:-1]
        await whole.wait()
        yield DATA[-1:]

    fill, running = work.begin(Source(all_but_the_last_byte))
    with fill:
        assert await fill.readable(0) <= len(DATA) - TAIL_BYTES
        tail = asyncio.ensure_future(fill.readable(len(DATA) - TAIL_BYTES))
        await asyncio.wait({tail}, timeout=0.05)
        assert not tail.done()
        whole.set()
        assert await tail == len(DATA)
    await running


async def test_a_reader_behind_the_end_does_not_wait_for_ever(work: Work) -> None:
    """Every wait ends: of a verified blob there is nothing more to come."""
    fill, running = work.begin(Source(chunks))
    with fill:
        await running
        assert await fill.readable(len(DATA)) == len(DATA)


@pytest.mark.usefixtures("everything_is_far")
async def test_a_range_far_ahead_opens_one_side_and_nothing_is_fetched_twice(work: Work) -> None:
    """Issue section 4: a range far ahead opens one bounded upstream range into the same sparse file."""
    on = asyncio.Event()

    async def slow_front(start: int, end: int | None) -> AsyncIterator[bytes]:
        if start == 0:
            yield DATA[: 16 * KIB]
            await on.wait()
            start = 16 * KIB
        async for chunk in chunks(start, end):
            yield chunk

    source = Source(slow_front)
    fill, running = work.begin(source)
    far = 512 * KIB
    with fill:
        await fill.headers()
        ends = await asyncio.gather(*(fill.readable(far) for _ in range(8)))
        assert min(ends) > far
        on.set()
        await running
    assert source.asked == [(0, None), (far, len(DATA))]
    assert fill.verified
    assert fill.staged.path.read_bytes() == DATA


@pytest.mark.usefixtures("everything_is_far")
async def test_the_tail_is_no_reason_for_a_side(work: Work) -> None:
    """Readers of an archive's table of contents ask for the last bytes first: those wait for the front in any case."""
    on = asyncio.Event()

    async def held(start: int, end: int | None) -> AsyncIterator[bytes]:
        yield DATA[: 16 * KIB]
        await on.wait()
        async for chunk in chunks(16 * KIB, end):
            yield chunk

    source = Source(held)
    fill, running = work.begin(source)
    with fill:
        await fill.headers()
        tail = asyncio.ensure_future(fill.readable(len(DATA) - 10))
        await asyncio.wait({tail}, timeout=0.05)
        assert source.asked == [(0, None)]
        on.set()
        assert await tail == len(DATA)
    await running


@pytest.mark.usefixtures("everything_is_far")
@pytest.mark.parametrize("ranges", [True, False])
async def test_sides_that_bring_nothing_are_given_up(work: Work, ranges: bool) -> None:
    """RELIABILITY section 4: an upstream that fails, or ignores ranges, is not asked in a loop."""
    on = asyncio.Event()

    async def only_the_front(start: int, end: int | None) -> AsyncIterator[bytes]:
        if end is not None or len(source.asked) > 1:
            raise UpstreamError("no ranges here")
        yield DATA[: 16 * KIB]
        await on.wait()
        yield DATA[16 * KIB :]

    source = Source(only_the_front, ranges=ranges)
    fill, running = work.begin(source)
    with fill:
        await fill.headers()
        reader = asyncio.ensure_future(fill.readable(512 * KIB))
        await asyncio.wait({reader}, timeout=0.1)
        assert len(source.asked) == 1 + SIDE_FAILURES_MAX
        on.set()
        assert await reader > 512 * KIB
    await running
    assert fill.verified


@pytest.mark.usefixtures("everything_is_far")
async def test_a_lying_side_is_found_out_where_the_front_comes_by(work: Work) -> None:
    """RELIABILITY A5: what is hashed is what is in the file, whoever wrote it last."""
    front_on, side_on = asyncio.Event(), asyncio.Event()
    far = 512 * KIB

    async def answer(start: int, end: int | None) -> AsyncIterator[bytes]:
        if start >= far:
            await side_on.wait()
            yield bytes(100 * KIB) + DATA[start + 100 * KIB :]
            return
        yield DATA[: 16 * KIB]
        await front_on.wait()
        # One write that would cross the place where the side is about to begin.
        yield DATA[16 * KIB : far + 100 * KIB]
        while fill.staged.front < far:
            await asyncio.sleep(0)
        side_on.set()
        async for chunk in chunks(far + 100 * KIB, end):
            yield chunk

    fill, running = work.begin(Source(answer))
    with fill:
        await fill.headers()
        reader = asyncio.ensure_future(fill.readable(far))
        await asyncio.sleep(0)  # the side begins
        front_on.set()
        await running
        with suppress(UpstreamError):
            await reader
    assert not fill.verified or fill.staged.path.read_bytes() == DATA
    assert fill.verified or not fill.staged.path.exists()


@pytest.mark.usefixtures("everything_is_far")
async def test_a_fill_that_ends_leaves_no_side_behind(work: Work) -> None:
    """The next fill of the digest opens the same file: nobody else may write into it then."""
    broken = asyncio.Event()

    async def answer(start: int, end: int | None) -> AsyncIterator[bytes]:
        if start >= 512 * KIB:
            yield DATA[start : start + 16 * KIB]
            await asyncio.Event().wait()
        if start == 0:
            yield DATA[: 16 * KIB]
            await broken.wait()
        raise UpstreamError("broken")

    fill, running = work.begin(Source(answer))
    with fill:
        await fill.headers()
        assert await fill.readable(512 * KIB) == 528 * KIB
        broken.set()
        await running
        assert all(task.done() for task in work.tasks)
        with pytest.raises(UpstreamError):
            await fill.readable(32 * KIB)


@pytest.mark.usefixtures("everything_is_far")
async def test_an_answer_without_length_that_is_always_cut_is_given_up(work: Work) -> None:
    """RELIABILITY section 4: no Content-Length, close-delimited: the end of the connection proves nothing."""

    async def cut(start: int, end: int | None) -> AsyncIterator[bytes]:
        yield DATA[: 100 * KIB]

    source = Source(cut, size=None, ranges=False)
    fill, running = work.begin(source)
    await running
    assert isinstance(fill.error, UpstreamError)
    assert len(source.asked) <= RESUMES_MAX + 2
    assert fill.staged.front == 100 * KIB


def _leave_all(staged: SparseFile) -> None:
    staged.open()
    staged.write_front([DATA])
    staged.write_note()
    staged.close()


async def test_a_whole_partial_of_unknown_size_is_completed_by_one_byte(work: Work) -> None:
    """RFC 9110 section 15.5.17: asked for `bytes=<size>-` an upstream can only say 416."""
    source = Source(chunks, size=None)
    await asyncio.to_thread(_leave_all, work.staged())
    fill, running = work.begin(source, size=None)
    await running
    assert fill.verified
    assert source.asked[-1] == (len(DATA) - 1, None)


async def test_the_file_stays_open_for_the_last_reader(work: Work) -> None:
    """DESIGN walk 2: readers follow the growing file, also when it has long been published."""
    fill, running = work.begin(Source(chunks))
    with fill:
        with fill:
            await running
        assert not fill.staged.file.closed
    assert fill.staged.file.closed
