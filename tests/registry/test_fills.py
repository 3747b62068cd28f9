"""The fills under way: one per digest, and what is left of one that ended badly."""

import asyncio
import errno
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from registries import HOME

from mirror.oci.digest import Digest, digest_of
from mirror.oci.errors import StorageFull, Unavailable, UpstreamError
from mirror.oci.names import Repository
from mirror.registry import fills as fills_module
from mirror.registry.fills import Fills
from mirror.store.index import Index
from mirror.store.store import Store
from mirror.upstream.throttle import Throttle

DATA = b"layer " * 20_000
DIGEST = digest_of(DATA)


class Body:
    """A whole answer."""

    start = 0
    size = len(DATA)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield DATA[:60_000]
        yield DATA[60_000:]


class Source:
    """An upstream that answers, or fails with `error`; it waits for `ready` before either."""

    repository = Repository(HOME, "docker.io", "library/app")

    def __init__(self, error: Exception | None = None) -> None:
        self.asked = 0
        self.error = error
        self.ready = asyncio.Event()
        self.ready.set()

    @asynccontextmanager
    async def get_blob(self, digest: Digest, start: int = 0, end: int | None = None) -> AsyncIterator[Any]:
        self.asked += 1
        await self.ready.wait()
        if self.error is not None:
            raise self.error
        yield Body()


class Bench:
    """Fills over a real store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.tasks: list[asyncio.Task[None]] = []
        self.fills = Fills(store.files, store.index, store.guard, store.space, self.spawn)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self.tasks.append(task)
        return task

    async def ended(self) -> None:
        await asyncio.wait(self.tasks, timeout=10)


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Bench]:
    loops: list[asyncio.Task[None]] = []

    def spawn(work: Coroutine[Any, Any, None], name: str) -> None:
        loops.append(asyncio.get_running_loop().create_task(work, name=name))

    async with Store.open(path, spawn, home=HOME) as store:
        yield Bench(store)
    await asyncio.gather(*loops)


async def test_all_who_come_join_one_fill_and_find_the_blob_in_the_index_after_it(tmp_path: Path) -> None:
    """DESIGN section 4, walk 2: the first caller starts the one fill, all others join."""
    async with opened(tmp_path) as bench:
        source = Source()
        joined = {id(bench.fills.join(DIGEST, len(DATA), source)) for _ in range(100)}
        await bench.ended()
        assert (len(joined), source.asked, bench.fills.find(DIGEST)) == (1, 1, None)
        entry = bench.store.index.blob(DIGEST)
        assert entry is not None
        assert entry.size == len(DATA)
        assert list(bench.store.files.fills.iterdir()) == []


async def test_a_fill_in_the_background_is_the_clients_from_the_moment_that_one_joins(tmp_path: Path) -> None:
    """Issue 4, section 3, "Prewarming": clients come first, and wait for no cap."""
    async with opened(tmp_path) as bench:
        slow = Throttle(1)
        fill = bench.fills.join(DIGEST, len(DATA), Source(), background=slow)
        assert await fill.headers() == len(DATA)
        await asyncio.wait_for(bench.fills.clients.gone(60), 1)
        assert bench.fills.join(DIGEST, len(DATA), Source(), background=slow) is fill
        assert not fill.verified
        assert bench.fills.join(DIGEST, len(DATA), Source()) is fill
        await asyncio.wait_for(fill.ended(), 10)
        await asyncio.wait_for(bench.fills.clients.gone(60), 1)


async def test_a_fill_that_failed_is_told_to_all_and_the_next_caller_begins_anew(tmp_path: Path) -> None:
    """A failure belongs to one fill, not to the digest."""
    async with opened(tmp_path) as bench:
        source = Source(UpstreamError("no"))
        fill = bench.fills.join(DIGEST, len(DATA), source)
        answers = await asyncio.gather(*(fill.headers() for _ in range(5)), return_exceptions=True)
        assert {type(answer) for answer in answers} == {UpstreamError}
        source.error = None
        again = bench.fills.join(DIGEST, len(DATA), source)
        assert again is not fill
        assert await again.headers() == len(DATA)
        await bench.ended()
        assert again.verified


async def test_a_disk_that_is_full_at_the_end_is_told_and_indexes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DESIGN section 2, "Order of writes": an entry without its file must never exist."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    async with opened(tmp_path) as bench:
        monkeypatch.setattr("mirror.store.files.sync_file", full)
        fill = bench.fills.join(DIGEST, len(DATA), Source())
        await bench.ended()
        assert isinstance(fill.error, StorageFull)
        assert bench.store.index.blob(DIGEST) is None
        monkeypatch.undo()
        bench.fills.join(DIGEST, len(DATA), Source())
        await bench.ended()
        assert bench.store.index.blob(DIGEST) is not None


async def test_a_file_that_cannot_be_opened_fails_the_fill_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RELIABILITY section 4, disk full: noticed before a byte is asked of upstream."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    async with opened(tmp_path) as bench:
        monkeypatch.setattr("mirror.store.sparse.SparseFile.open", full)
        source = Source()
        fill = bench.fills.join(DIGEST, len(DATA), source)
        with pytest.raises(StorageFull):
            await fill.headers()
        await bench.ended()
        assert source.asked == 0
        assert [task.exception() for task in bench.tasks] == [None]


async def test_the_number_of_fills_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DESIGN section 5: every queue and buffer has a limit."""
    monkeypatch.setattr(fills_module, "FILLS_MAX", 2)
    async with opened(tmp_path) as bench:
        source = Source(UpstreamError("no"))
        source.ready.clear()
        for number in range(2):
            bench.fills.join(digest_of(bytes([number])), 1, source)
        with pytest.raises(Unavailable):
            bench.fills.join(DIGEST, len(DATA), source)
        source.ready.set()
        await bench.ended()
        bench.fills.join(DIGEST, len(DATA), Source())
        await bench.ended()


async def test_an_index_that_takes_nothing_leaves_the_bytes_to_readers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verified is verified: who reads already gets all, although the blob could not be indexed."""

    async def refuse(*_: object) -> None:
        raise StorageFull("full")

    async with opened(tmp_path) as bench:
        monkeypatch.setattr(Index, "put_blob", refuse)
        fill = bench.fills.join(DIGEST, len(DATA), Source())
        with fill:
            await bench.ended()
            assert isinstance(fill.error, StorageFull)
            assert await fill.readable(0) == len(DATA)
