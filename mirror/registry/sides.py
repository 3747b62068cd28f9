"""Sides: bounded ranges of a blob, fetched beyond the front of its fill for readers who want bytes far ahead.

A side writes only where nobody else does, from its first byte to its end, and leaves an island that the front passes
over. One that fails is no harm: the front comes by.
"""

import asyncio
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from typing import Final, Protocol

from mirror import telemetry
from mirror.oci.digest import Digest
from mirror.oci.errors import RegistryError
from mirror.oci.names import Repository
from mirror.oci.ranges import Span
from mirror.registry.flights import Spawn
from mirror.store.batches import write_behind
from mirror.store.sparse import SparseFile
from mirror.upstream.body import BlobBody

SIDES_MAX: Final = 2  # under way at once
SIDE_BYTES: Final = 16 * 1024 * 1024  # one side: about two of containerd's chunks
SIDE_FAILURES_MAX: Final = 3  # sides that brought nothing; after these all readers wait for the front


class BlobSource(Protocol):
    """Where a fill gets its bytes: one repository of one upstream."""

    @property
    def repository(self) -> Repository: ...

    def get_blob(
        self, digest: Digest, start: int = 0, end: int | None = None
    ) -> AbstractAsyncContextManager[BlobBody]: ...


class Notify(Protocol):
    """Tell the fill's readers that there is something new."""

    def __call__(self) -> None: ...


@dataclass(slots=True)
class _Side:
    """A range under way: `start` is its first byte, `mark` what it has reached."""

    start: int
    mark: int
    end: int
    task: asyncio.Task[None] | None = None


class Sides:
    """The sides of one fill."""

    def __init__(self, digest: Digest, source: BlobSource, staged: SparseFile, spawn: Spawn, notify: Notify) -> None:
        self._digest = digest
        self._source = source
        self._staged = staged
        self._spawn = spawn
        self._notify = notify
        self._under_way: list[_Side] = []
        self._failures = 0

    @property
    def full(self) -> bool:
        """Tell whether no further side may begin, now or ever."""
        return len(self._under_way) >= SIDES_MAX or self._failures >= SIDE_FAILURES_MAX

    def starts(self) -> list[int]:
        """Return where the sides under way begin. For any thread: it reads a copy."""
        return [side.start for side in tuple(self._under_way)]

    def cover(self, offset: int) -> bool:
        """Tell whether a side under way brings the byte at `offset`, or has."""
        return any(side.start <= offset < side.end for side in self._under_way)

    def open(self, start: int, end: int) -> None:
        """Begin to fetch from `start` up to `end`, or SIDE_BYTES. Nobody else may write there."""
        side = _Side(start, start, min(end, start + SIDE_BYTES))
        self._under_way.append(side)
        side.task = self._spawn(self._run(side), f"side {self._digest} {start}")

    async def end(self) -> None:
        """Stop the sides for ever and wait until none writes any more: the next fill may open the same file."""
        self._failures = SIDE_FAILURES_MAX
        tasks = [side.task for side in self._under_way if side.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self, side: _Side) -> None:
        with suppress(RegistryError, OSError):
            try:
                await self._fetch(side)
            finally:
                self._failures += side.mark == side.start
                self._under_way.remove(side)
                self._notify()

    async def _fetch(self, side: _Side) -> None:
        def write(buffers: list[bytes]) -> None:
            self._staged.write_at(side.mark, buffers)
            side.mark += sum(map(len, buffers))

        def keep_going(written: int) -> bool:
            telemetry.FILL_BYTES.labels(self._source.repository.upstream).inc(written)
            self._staged.add_island(Span(side.start, side.mark))
            self._notify()
            return side.mark < side.end

        async with self._source.get_blob(self._digest, side.start, side.end) as body:
            # An upstream that ignores ranges sends the whole, which the front is fetching already.
            if body.start == side.start:
                await write_behind(body, write, keep_going)
