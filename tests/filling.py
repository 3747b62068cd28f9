"""A fill whose source does exactly what the test says.

fill, running = work.begin(Source(chunks))
with fill:
    end = await fill.readable(0)
await running
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from registries import HOME

from mirror.oci.digest import digest_of
from mirror.oci.errors import RegistryError
from mirror.oci.names import Repository
from mirror.registry.fill import Fill
from mirror.registry.pacing import Pace
from mirror.store.space import Space
from mirror.store.sparse import SparseFile
from mirror.upstream.body import BlobBody

KIB = 1024
DATA = Random(7).randbytes(1024 * KIB)
DIGEST = digest_of(DATA)
Answer = Callable[[int, int | None], AsyncIterator[bytes]]


async def chunks(start: int, end: int | None, data: bytes = DATA) -> AsyncIterator[bytes]:
    for at in range(start, len(data) if end is None else end, 16 * KIB):
        yield data[at : min(at + 16 * KIB, len(data) if end is None else end)]


class Body:
    """What an upstream answers: from where, of how much, and the chunks."""

    def __init__(self, start: int, size: int | None, chunks: AsyncIterator[bytes]) -> None:
        self.start = start
        self.size = size
        self._chunks = chunks

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks


class Source:
    """A repository whose every answer is `answer(start, end)`; `asked` is what was asked."""

    repository = Repository(HOME, "docker.io", "library/app")

    def __init__(self, answer: Answer, *, size: int | None = len(DATA), ranges: bool = True) -> None:
        self.asked: list[tuple[int, int | None]] = []
        self._answer = answer
        self._size = size
        self._ranges = ranges

    @asynccontextmanager
    async def get_blob(self, digest: object, start: int = 0, end: int | None = None) -> AsyncIterator[BlobBody]:
        self.asked.append((start, end))
        body: Any = Body(start if self._ranges else 0, self._size, self._answer(start if self._ranges else 0, end))
        yield body


class Work:
    """A fill at work, and all that it spawns; what ends the fill is told to it as `Fills` does."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.tasks: list[asyncio.Task[None]] = []

    def staged(self) -> SparseFile:
        return SparseFile(self._path, DIGEST)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self.tasks.append(task)
        return task

    def begin(
        self, source: Source, *, size: int | None = len(DATA), pace: Pace | None = None
    ) -> tuple[Fill, "asyncio.Task[None]"]:
        fill = Fill(DIGEST, size, source, self.staged(), self.spawn, Space(self._path.parent), pace)
        return fill, self.spawn(self._run(fill), "fill")

    async def _run(self, fill: Fill) -> None:
        error = None
        try:
            await fill.run()
        except RegistryError as refusal:
            error = refusal
        fill.finish(error)
