"""Garbage collection: a blob that nothing names any more goes, while the node serves, in small batches.

Source: issue "Space"; RELIABILITY G12, G22. Needed is what a blob link, a manifest's row or a manifest's child names,
in any repository. A link that no manifest of its repository needs is dropped first, once it is older than the grace
time: the image that it was made for is gone, or never came.

Why no acknowledged push loses a blob:

1. Whether a blob is needed is decided in the ledger's transaction, and the ledger runs one at a time. A push that is
   committed before is seen there, also in the same batch. One that is committed after asks, in its own transaction,
   whether its parts are here (`Entry.check_here`) and is refused where they are not: it is never acknowledged.
2. The decision is a change of the log, `blob.collected`. The commit comes first, then the projection drops the entry,
   then the file goes, and only then the ledger takes the next mutation: nobody's projection finds a file that is going.
   A kill leaves a file without an entry at worst, for replay drops the entry before anything is served.
3. A file is published, and named, under the guard's hold; what is held is not taken, and what is taken is not held
   before its file is gone. So the file that is removed is never one that was just published.
4. Who is told that a blob is here (HEAD, a mount, a finished upload) is noted before the answer, and what was noted is
   not taken for the grace time; while a blob is being taken, those who ask wait. So a legal sequence of HEAD and PUT
   is not refused either. After a start, when nothing is noted yet, links wait for the grace time.
5. Readers have the file open: an open descriptor outlives its name.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import delete, exists, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.names import Registry, Repository, read_registry
from mirror.store import tables
from mirror.store.changes import Change
from mirror.store.database import Database
from mirror.store.files import Files
from mirror.store.guard import Guard
from mirror.store.index import Index
from mirror.store.ledger import Entry, Ledger
from mirror.store.mutations import unlink_blob
from mirror.store.rows import add_rows, listed
from mirror.store.unneeded import suspect

BATCH_MAX: Final = 100  # blobs of one transaction: pushes wait for some 10 ms
PAGE_MAX: Final = 500  # blobs of one question that only reads

Link = tuple[Repository, Digest]


@dataclass(frozen=True, slots=True)
class Tally:
    """How many blobs went, or would go, and their bytes; how many are suspected within their grace time."""

    blobs: int = 0
    size: int = 0
    waiting: int = 0

    def plus(self, other: "Tally") -> "Tally":
        return Tally(self.blobs + other.blobs, self.size + other.size, self.waiting + other.waiting)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of some blobs: those nobody needs, and the links that are dropped for that."""

    unneeded: frozenset[Digest]
    stale: Sequence[Link] = field(default=())


class Collection:
    """What a collection asks and does."""

    def __init__(self, database: Database, ledger: Ledger, index: Index, files: Files, guard: Guard) -> None:
        self._database = database
        self._ledger = ledger
        self._index = index
        self._files = files
        self.guard = guard

    async def due(self, now: float, last: tuple[float, str] = (-1.0, "")) -> list[tuple[float, Digest]]:
        """List a batch of suspects behind `last`, oldest first, whose grace time is over at `now` (unix seconds)."""
        table = tables.unneeded
        chosen = (
            select(table)
            .where(table.c.since <= now - self.guard.grace_s, tuple_(table.c.since, table.c.digest) > last)
            .order_by(table.c.since, table.c.digest)
            .limit(BATCH_MAX)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(chosen)).mappings().all()
        return [(row["since"], parse_digest(row["digest"])) for row in rows]

    async def collect(self, digests: Sequence[Digest], now: float) -> Tally:
        """Remove those of some suspects, at most BATCH_MAX, that nobody needs; return what went."""
        sizes = await self._sizes(digests)
        self.guard.turn()

        async def take(entry: Entry) -> list[Digest]:
            return await _take(entry, sizes, self.guard, now)

        gone = await self._ledger.commit(take, frees=True)
        await asyncio.to_thread(self._files.empty_aside, gone)
        return Tally(len(gone), sum(sizes[digest] or 0 for digest in gone))

    async def forecast(self, now: float) -> Tally:
        """Say what a collection at `now` would remove. Changes nothing."""
        table = tables.unneeded
        async with self._database.read() as connection:
            waiting = select(func.count()).where(table.c.since > now - self.guard.grace_s)
            found = Tally(waiting=(await connection.execute(waiting)).scalar_one())
        last = -1.0, ""
        while page := await self.due(now, last):
            last = page[-1][0], str(page[-1][1])
            unneeded = (await self._judge([digest for _, digest in page], now)).unneeded
            sizes = [size for size in (await self._sizes(list(unneeded))).values() if size is not None]
            found = found.plus(Tally(len(sizes), sum(sizes)))
        return found

    async def look_at_entries(self, last: Digest | None, now: float) -> Digest | None:
        """Suspect what nobody needs of a page of the index behind `last`; return the page's end, None at the last."""
        entries = self._index.blobs(last, PAGE_MAX)
        await self._suspect((await self._judge([digest for digest, _ in entries], now)).unneeded, now)
        return entries[-1][0] if entries else None

    async def look_at_files(self, digests: Sequence[Digest], now: float) -> None:
        """Suspect those of some files that no entry names and nobody needs; give an entry to those that are needed."""
        strays = [digest for digest in digests if self._index.blob(digest) is None]
        unneeded = (await self._judge(strays, now)).unneeded
        await self._suspect(unneeded, now)
        for digest in strays:
            if digest not in unneeded:
                await self._take_up(digest)

    async def _take_up(self, digest: Digest) -> None:
        async with self.guard.hold(digest):
            await self._index.write(lambda index: index.find_blob(digest, self._files.entry))

    async def _judge(self, digests: Sequence[Digest], now: float) -> Verdict:
        async with self._database.read() as connection:
            return await judge(connection, digests, now - self.guard.grace_s)

    async def _suspect(self, digests: frozenset[Digest], now: float) -> None:
        async def put(entry: Entry) -> None:
            rows = [{"digest": str(digest), "since": now} for digest in digests]
            await add_rows(entry.connection, tables.unneeded, rows)

        if digests:
            await self._ledger.commit(put, frees=True)

    async def _sizes(self, digests: Sequence[Digest]) -> dict[Digest, int | None]:
        return await asyncio.to_thread(lambda: {digest: self._files.size(digest) for digest in digests})


async def judge(connection: AsyncConnection, digests: Sequence[Digest], before: float) -> Verdict:
    """Say which blobs nobody needs; links made since `before` (unix seconds) are needed in any case."""
    texts = listed(str(digest) for digest in digests)
    link, child, image, owner = (
        table.c for table in (tables.blob_links, tables.manifest_children, tables.manifests, tables.repositories)
    )
    linked = select(link.digest).join(tables.repositories, owner.id == link.repository_id).where(link.digest.in_(texts))
    kept = linked.where(link.linked_at >= before)
    named = select(child.digest).where(child.digest.in_(texts))
    there = select(image.digest).where(image.digest.in_(texts))
    needed = {parse_digest(text) for text in (await connection.execute(kept.union(named, there))).scalars()}
    use = exists().where(child.repository_id == link.repository_id, child.digest == link.digest)
    stale = linked.add_columns(owner.registry, owner.upstream, owner.name).where(link.linked_at < before, ~use)
    links = [
        (Repository(read_registry(registry), upstream, name), parse_digest(digest))
        for digest, registry, upstream, name in await connection.execute(stale)
    ]
    return Verdict(frozenset(digests) - needed, links)


async def _take(entry: Entry, sizes: dict[Digest, int | None], guard: Guard, now: float) -> list[Digest]:
    """Drop stale links, and take out what nobody needs then. What is spared is asked about a grace time later."""
    await entry.write_links()
    taken = [digest for digest in sizes if entry.take(digest)]
    verdict = await judge(entry.connection, taken, now - guard.grace_s)
    early = frozenset() if guard.remembers else frozenset(digest for _, digest in verdict.stale)
    for repository, digest in verdict.stale:
        if digest not in early:
            await unlink_blob(entry, repository, digest, now)
    gone = [digest for digest in taken if digest in verdict.unneeded and digest not in early]
    # The log is told of blobs that are here only: of a suspect that went before there is nothing to say.
    found = [digest for digest in gone if sizes[digest] is not None or entry.is_here(digest)]
    entry.collected.update(found)
    entry.changes += [Change("blob.collected", Repository(Registry(""), "", ""), now, digest) for digest in found]
    table = tables.unneeded
    await entry.connection.execute(delete(table).where(table.c.digest.in_(listed(map(str, sizes)))))
    await suspect(entry, [digest for digest in sizes if digest not in taken or digest in early], now)
    return found
