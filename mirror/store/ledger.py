"""The ledger: the one writer of the database. Groups waiting mutations into one commit, then lets the index follow.

Source: DESIGN section 2, "Order of writes". The SQL commit is the acknowledgement, the projection comes after it, the
callers are answered after both. Changes reach the index in the order of their seq and none is left out: what the index
could not take waits here and goes first the next time. `run` is a coroutine that the node owns.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, cast

import orjson
import structlog
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mirror import telemetry
from mirror.oci.digest import Digest
from mirror.oci.errors import StorageFull, Unavailable
from mirror.oci.names import Repository
from mirror.store import tables
from mirror.store.changelog import append_changes
from mirror.store.changes import Change
from mirror.store.database import Database, full_disk_refused_by_sql
from mirror.store.document_map import DocumentKey, DocumentMap
from mirror.store.entries import BlobEntry
from mirror.store.files import Files
from mirror.store.guard import Guard, PartsGone
from mirror.store.index import Index
from mirror.store.news import News
from mirror.store.reserve import Reserve
from mirror.store.rows import add_rows, put_rows
from mirror.store.waiting import Waiting, answer_all

BATCH_MAX: Final = 64  # mutations a commit: 64 together already cost the disk a sixty-fourth each
QUEUE_MAX: Final = 1_000  # mutations waiting; who comes later waits in front of the queue
MUTATION_S_MAX: Final = 30.0  # a commit takes milliseconds: after this the disk hangs
IDS_MAX: Final = 100_000  # repositories whose row is known: some 20 MB, then forgotten
BEHIND_MAX: Final = 10_000  # changes that the index may owe us before nothing more is written

T = TypeVar("T")

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Entry:
    """One transaction at work: its connection, the changes that it makes, the bytes that its callers have at hand."""

    connection: AsyncConnection
    ids: Mapping[Repository, int]
    index: Index
    guard: Guard
    taken: set[Digest] = field(default_factory=set)  # what nobody may publish or count on before the files are gone
    collected: set[Digest] = field(default_factory=set)  # blobs whose entries and files go behind this transaction
    new_ids: dict[Repository, int] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    seen: dict[Digest, BlobEntry] = field(default_factory=dict)
    links: dict[tuple[int, str], dict[str, Any]] = field(default_factory=dict)  # rows that are still to be written
    gone: set[Repository] = field(default_factory=set)
    documents: dict[DocumentKey, bytes | None] = field(default_factory=dict)  # as they are after this transaction

    async def write_links(self) -> None:
        """Write the links that have gathered: one statement for many pushes. A claim never replaces a proof."""
        proofs = [row for row in self.links.values() if row["proven"]]
        claims = [row for row in self.links.values() if not row["proven"]]
        await put_rows(self.connection, tables.blob_links, proofs)
        await add_rows(self.connection, tables.blob_links, claims)
        self.links.clear()

    def put_link(self, row: dict[str, Any]) -> None:
        """Let a link be written with those of others, at the end of the transaction."""
        key = row["repository_id"], row["digest"]
        if row["proven"] or key not in self.links:
            self.links[key] = row

    def take(self, digest: Digest) -> bool:
        """Begin to take a blob away, until the end of the transaction; False when it is held or was asked for."""
        if not self.guard.take(digest):
            return False
        self.taken.add(digest)
        return True

    def is_here(self, digest: Digest) -> bool:
        """Tell whether the bytes of a blob are here, and stay."""
        return digest not in self.collected and self.index.blob(digest) is not None

    def check_here(self, digests: Collection[Digest]) -> None:
        """Raise PartsGone for those of some blobs that are not here: asked of old, they may have been collected."""
        gone = [digest for digest in digests if not self.is_here(digest)]
        if gone:
            raise PartsGone(gone)

    async def repository_id(self, repository: Repository) -> int | None:
        known = self.new_ids.get(repository)
        if known is None and repository not in self.gone:
            known = self.ids.get(repository)
        if known is not None:
            return known
        found = await self.connection.execute(select(tables.repositories.c.id).where(*named(repository)))
        return self._know(repository, found.scalar())

    async def make_repository(self, repository: Repository, at: float, settings: bytes = b"") -> int:
        """Return the id of `repository`, which exists from now on; `settings` are those of a new one."""
        known = await self.repository_id(repository)
        if known is not None:
            return known
        table = tables.repositories
        detail = {"created_at": at, **orjson.loads(settings or b"{}")}
        row = {
            "registry": str(repository.registry),
            "upstream": repository.upstream,
            "name": repository.name,
            "created_at": at,
            "settings": orjson.dumps(detail).decode(),
        }
        made = await self.connection.execute(insert(table).values(row).returning(table.c.id))
        self.changes.append(Change("repository.created", repository, at, detail=detail))
        return int(self._know(repository, made.scalar_one()))

    def forget(self, repository: Repository) -> None:
        """Say that `repository` is deleted."""
        self.new_ids.pop(repository, None)
        self.gone.add(repository)

    def _know(self, repository: Repository, found: T) -> T:
        if isinstance(found, int):
            self.new_ids[repository] = found
        return found


def named(repository: Repository) -> tuple[Any, Any, Any]:
    """Return the conditions that choose the row of `repository`."""
    table = tables.repositories
    registry = str(repository.registry)
    return table.c.registry == registry, table.c.upstream == repository.upstream, table.c.name == repository.name


Mutation = Callable[[Entry], Awaitable[T]]


class Ledger:
    """Takes mutations from many callers, commits them in groups."""

    def __init__(
        self,
        database: Database,
        index: Index,
        files: Files,
        documents: DocumentMap,
        guard: Guard,
        reserve: Reserve,
    ) -> None:
        self._reserve = reserve
        self._database = database
        self._index = index
        self._files = files
        self._guard = guard
        self._queue: asyncio.Queue[Waiting | None] = asyncio.Queue(QUEUE_MAX)
        self._behind: list[Change] = []
        self._ids: dict[Repository, int] = {}
        self.documents = documents
        self.news = News()
        self._closing = False
        self._stopped = asyncio.Event()

    async def commit(self, mutation: Mutation[T], *, frees: bool = False) -> T:
        """Run `mutation` in a transaction; return its answer once it is committed and in the index.

        One that `frees` room, sooner or later, is given the reserve on a full disk and run again; while that is spent,
        no other is run. Raises what `mutation` raises, and then nothing of it is kept; Unavailable when the disk does
        not answer, StorageFull when it is full.
        """
        if self._closing:
            raise Unavailable("the database is closing")
        if self._reserve.spent and not frees:
            raise StorageFull("no room left on the disk of this registry: what is left is for clean-up")
        waiting = Waiting(mutation, asyncio.get_running_loop().create_future(), frees)
        try:
            with telemetry.span("ledger commit"):
                async with asyncio.timeout(MUTATION_S_MAX):
                    await self._queue.put(waiting)
                    return cast("T", await waiting.answer)
        except TimeoutError:
            raise Unavailable("the database on this disk does not answer") from None

    async def run(self) -> None:
        """Commit what comes until `stop`. Spawned once, by the node."""
        try:
            while batch := await self._take():
                await self._commit_all(batch)
        finally:
            self._closing = True
            self._stopped.set()

    async def stop(self) -> None:
        """Let `run` return after what is queued now, and wait for that."""
        self._closing = True
        try:
            async with asyncio.timeout(MUTATION_S_MAX):
                await self._queue.put(None)
                await self._stopped.wait()
        except TimeoutError:
            _log.error("mutations lost: the database did not answer", waiting=self._queue.qsize())

    async def _commit_all(self, batch: list[Waiting]) -> None:
        """Commit a batch; one that fails is run again mutation by mutation, so that a failure is only its own."""
        try:
            await self._commit(batch)
        except Exception as error:  # noqa: BLE001 - it is the caller's answer
            if len(batch) > 1:
                for waiting in batch:
                    await self._commit_all([waiting])
            elif isinstance(error, StorageFull) and await self._give_way(batch):
                await self._commit_all(batch)
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(error)

    async def _commit(self, batch: list[Waiting]) -> None:
        if len(self._behind) > BEHIND_MAX:
            await self._project({}, ())
        taken: set[Digest] = set()
        try:
            with full_disk_refused_by_sql():
                async with self._database.write() as connection:
                    entry = Entry(connection, self._ids, self._index, self._guard, taken, self._going())
                    for waiting in batch:
                        waiting.outcome = await waiting.mutation(entry)
                    await entry.write_links()
                    changes = await append_changes(connection, entry.changes)
            self._remember(entry)
            self._behind += changes
            if changes:
                self.news.tell(changes[-1].seq)
            await self._answer(batch, entry)
        finally:
            if taken:
                self._guard.release(taken)

    async def _give_way(self, batch: list[Waiting]) -> bool:
        """Give up the reserve for a batch that frees room; tell whether it has that now, and may be tried again."""
        return any(waiting.frees for waiting in batch) and await asyncio.to_thread(self._reserve.give_up)

    def _going(self) -> set[Digest]:
        """Return the blobs that were collected and that the index still shows: it is behind."""
        return {change.named for change in self._behind if change.kind == "blob.collected"}

    async def _answer(self, batch: list[Waiting], entry: Entry) -> None:
        """Let the index follow, then tell the callers. What is committed is not run again, whatever the index says."""
        gone = entry.collected & entry.taken
        try:
            try:
                await self._project(entry.seen, gone)
            except StorageFull:
                if not await self._give_way(batch):
                    raise
                await self._project(entry.seen, gone)
            if gone:
                # Before the next transaction: its projection must not find a file that is going.
                await asyncio.to_thread(self._files.set_aside, gone)
        except Exception as error:  # noqa: BLE001 - it is the callers' answer
            _log.error("index is behind", changes=len(self._behind), error=repr(error))
            answer_all(batch, error)
        else:
            answer_all(batch, None)

    async def _project(self, seen: Mapping[Digest, BlobEntry], gone: Collection[Digest]) -> None:
        def find(digest: Digest) -> BlobEntry | None:
            return seen.get(digest) or (None if digest in gone else self._files.entry(digest))

        if self._behind:
            await self._index.apply(self._behind, find)
            self._behind = []

    def _remember(self, entry: Entry) -> None:
        if len(self._ids) + len(entry.new_ids) > IDS_MAX:
            self._ids.clear()
        for repository in entry.gone:
            self._ids.pop(repository, None)
        self._ids |= entry.new_ids
        if entry.documents:
            self.documents.take_in(entry.documents)

    async def _take(self) -> list[Waiting]:
        """Wait for a mutation and take those behind it along. Nothing means: stop."""
        batch: list[Waiting] = []
        while len(batch) < BATCH_MAX and (not batch or not self._queue.empty()):
            waiting = await self._queue.get()
            if waiting is None:
                if batch:
                    # The batch is done first; there was room a moment ago and nobody else ran since.
                    self._queue.put_nowait(None)
                break
            if not waiting.answer.done():
                batch.append(waiting)
        return batch
