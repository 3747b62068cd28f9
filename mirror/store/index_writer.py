"""The one thread that writes the index: a bounded queue, many jobs a commit.

Source: RELIABILITY 3.3. LMDB allows one write transaction at a time, and a commit waits for the disk: so neither is for
the event loop. A job must be safe to run twice: a batch of which one job fails is run again job by job.
"""

import asyncio
import errno
import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import lmdb
import structlog

from mirror.oci.errors import StorageFull, Unavailable
from mirror.store.disk import full_disk_refused
from mirror.store.space import free_bytes

BATCH_JOBS_MAX: Final = 1_000  # bounds how long a commit makes its first caller wait
QUEUE_JOBS_MAX: Final = 2_000  # each may hold a small blob: 128 MiB at worst; who comes later waits in front
WRITE_S_MAX: Final = 30.0  # a commit takes a millisecond: after this the disk hangs
FULL_BYTES: Final = 1024 * 1024  # less than a batch of pages takes: a write that ended short met the end of the disk
GROW_S_MAX: Final = 10.0  # the loop owes us one pass
GROWTH: Final = 2

T = TypeVar("T")
Write = Callable[[lmdb.Transaction], T]

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Job:
    write: Write[Any]
    answer: asyncio.Future[Any] | None
    durable: bool
    outcome: Any = None


class IndexWriter:
    """Runs writes on its own thread, in order. Made and called on the loop; `close` ends it after what is queued."""

    def __init__(self, environment: lmdb.Environment) -> None:
        self._environment = environment
        self._loop = asyncio.get_running_loop()
        self._jobs: deque[_Job] = deque()
        self._wake = threading.Condition()
        self._room = asyncio.Semaphore(QUEUE_JOBS_MAX)
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="index-writer", daemon=True)
        self._thread.start()

    async def do(self, write: Write[T], *, durable: bool = False) -> T:
        """Run `write` in a committed transaction and return its answer. `durable` waits for LMDB's meta page too.

        Raises what `write` raises, StorageFull, or Unavailable when the disk does not answer in WRITE_S_MAX.
        """
        try:
            async with asyncio.timeout(WRITE_S_MAX), self._room:
                answer: asyncio.Future[Any] = self._loop.create_future()
                self._put(_Job(write, answer, durable))
                return cast("T", await answer)
        except TimeoutError:
            raise Unavailable("the index on this disk does not answer") from None

    def post(self, write: Write[Any]) -> None:
        """Run `write` some time soon; nobody is told. Dropped when the queue is full or the node goes down."""
        if len(self._jobs) < QUEUE_JOBS_MAX and not self._closing:
            self._put(_Job(write, None, durable=False))

    async def close(self) -> None:
        """Commit what is queued and end the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join, WRITE_S_MAX)

    def _put(self, job: _Job) -> None:
        with self._wake:
            if self._closing:
                raise Unavailable("the index is closing")
            self._jobs.append(job)
            self._wake.notify()

    def _run(self) -> None:
        while batch := self._take():
            self._commit_all(batch)
            self._loop.call_soon_threadsafe(_answer_all, batch)

    def _take(self) -> list[_Job]:
        """Wait for work; nothing means that the writer is closed and its queue is empty."""
        with self._wake:
            self._wake.wait_for(lambda: self._jobs or self._closing)
            return [self._jobs.popleft() for _ in range(min(len(self._jobs), BATCH_JOBS_MAX))]

    def _commit_all(self, batch: list[_Job]) -> None:
        try:
            self._commit(batch)
        except Exception as error:  # noqa: BLE001 - whatever a job raised is its caller's
            if len(batch) > 1:
                for job in batch:
                    self._commit_all([job])
            else:
                self._fail(batch[0], error)

    def _commit(self, batch: list[_Job]) -> None:
        try:
            with full_disk_refused(), self._environment.begin(write=True) as transaction:
                for job in batch:
                    job.outcome = job.write(transaction)
        except lmdb.MapFullError:
            self._grow()
            self._commit(batch)
            return
        if any(job.durable for job in batch):
            self._environment.sync(True)

    def _fail(self, job: _Job, error: Exception) -> None:
        if isinstance(error, lmdb.Error) and self._is_full(error):
            error = StorageFull("no room left on the disk of this registry")
        if job.answer is None:
            _log.warning("index write lost", error=repr(error))
        job.outcome = error

    def _is_full(self, error: lmdb.Error) -> bool:
        """Tell whether a failure is a full disk's: LMDB calls a write that ended short an I/O error."""
        if isinstance(error, lmdb.DiskError):
            return True
        is_short = os.strerror(errno.EIO) in str(error)
        return is_short and free_bytes(Path(self._environment.path())) < FULL_BYTES

    def _grow(self) -> None:
        """Let the loop enlarge the map. Growing invalidates read transactions; there are none between two callbacks."""
        done = threading.Event()

        def grow() -> None:
            try:
                self._environment.set_mapsize(GROWTH * int(self._environment.info()["map_size"]))
            finally:
                done.set()

        self._loop.call_soon_threadsafe(grow)
        if not done.wait(GROW_S_MAX):
            raise Unavailable("the index is full and the loop is too busy to let it grow")


def _answer_all(batch: list[_Job]) -> None:
    for job in batch:
        if job.answer is None or job.answer.done():
            continue
        if isinstance(job.outcome, Exception):
            job.answer.set_exception(job.outcome)
        else:
            job.answer.set_result(job.outcome)
