"""How the index is made: from the change log behind its cursor, or whole from the database and the files.

Source: DESIGN section 2: the index is the truth of nothing. What only it knew is lost by a rebuild, and none of it is
needed: when a tag was last checked falls back to when it was set, kept answers of upstreams are asked for again.
Runs before anything is served; never beside a writer of the database.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import chain
from typing import Final

from sqlalchemy import RowMapping, Select, Table, func, select, tuple_

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.names import Repository, read_registry
from mirror.store import tables
from mirror.store.changelog import last_seq, read_changes
from mirror.store.database import Database
from mirror.store.entries import Member, TagEntry
from mirror.store.files import Files
from mirror.store.index import Index
from mirror.store.projection import Projection

PAGE_ROWS: Final = 1_000  # rows in memory, with up to 64 KiB of a blob each, and in one commit of the index
READS_MAX: Final = 8  # files at once: most of a read is waiting for the disk
SHARE_BLOBS: Final = 25  # of one such reader: handing over one by one costs more than to look at it

Progress = Callable[[str, int, int], object]  # step, things done, things in all
_Rows = Sequence[RowMapping]


def unseen(step: str, done: int, total: int) -> None:
    """Nobody watches."""


async def replay(database: Database, index: Index, files: Files) -> int:
    """Let the index take in what the log has behind its cursor; return how many changes that were."""
    taken = 0
    while changes := await read_changes(database, index.cursor(), PAGE_ROWS):
        await index.apply(changes, files.entry)
        taken += len(changes)
    return taken


async def rebuild(database: Database, index: Index, files: Files, progress: Progress = unseen) -> None:
    """Fill an empty index. It counts as built only when this has returned: a crash on the way starts anew."""
    seq = await last_seq(database)
    await _take_in_blobs(database, index, files, progress)
    rows_all = sum([await _count(database, select(func.count()).select_from(table)) for table in _ORDER])
    rows_done = 0
    for table in _ORDER:
        async for rows in _pages(database, table):
            children = await _needed(database, rows) if table is tables.manifests else {}
            await index.write(_step(table, rows, children, files))
            rows_done += len(rows)
            progress("rows", rows_done, rows_all)
    await index.finish_build(seq)


# Manifests after links: a manifest can be asked then whether it is whole.
_ORDER: Final = (tables.repositories, tables.blob_links, tables.manifests, tables.tags)


async def _take_in_blobs(database: Database, index: Index, files: Files, progress: Progress) -> None:
    """Put an entry of every linked blob that is here, in the order of the keys.

    In the order of the links each entry would have a page of the tree written anew: for a million blobs some 4 GB.
    """
    linked, size, owner = tables.blob_links.c.digest, tables.blob_links.c.size, tables.repositories
    done, total = 0, await _count(database, select(func.count(linked.distinct())))
    # What our own repositories were pushed is true, what upstreams say of a size may be not.
    ours, told = func.max(size).filter(owner.c.upstream == ""), func.max(size).filter(tables.blob_links.c.proven)
    page = select(linked, func.coalesce(ours, told, -1)).join_from(tables.blob_links, owner)
    page = page.group_by(linked).order_by(linked).limit(PAGE_ROWS)
    where = page
    with ThreadPoolExecutor(READS_MAX, thread_name_prefix="reads") as pool:
        while rows := await _linked(database, where):
            await index.write(await asyncio.to_thread(_puts, files, rows, pool))
            where = page.where(linked > str(rows[-1][0]))
            done += len(rows)
            progress("blobs", done, total)


def _puts(files: Files, blobs: Sequence[tuple[Digest, int]], pool: ThreadPoolExecutor) -> Callable[[Projection], None]:
    """Look at the files of some blobs; return what puts the entries of those that are here whole. Blocks."""
    digests = [digest for digest, _ in blobs]
    shares = [digests[start : start + SHARE_BLOBS] for start in range(0, len(digests), SHARE_BLOBS)]
    entries = list(chain.from_iterable(pool.map(lambda share: list(map(files.entry, share)), shares)))

    def put(index: Projection) -> None:
        for (digest, size), entry in zip(blobs, entries, strict=True):
            if entry is not None and size in (-1, entry.size):
                index.put_blob(digest, entry)

    return put


def _step(
    table: Table, rows: _Rows, children: Mapping[tuple[int, str], list[Digest]], files: Files
) -> Callable[[Projection], None]:
    # Neighbours in the table are of one repository.
    owner = cache(lambda registry, upstream, name: Repository(read_registry(registry), upstream, name))

    def put(index: Projection) -> None:
        for row in rows:
            repository = owner(row["registry"], row["upstream"], row["name"])
            if table is tables.repositories:
                index.put_repository(repository, row["settings"].encode())
            elif table is tables.blob_links:
                link = Member("blob", row["media_type"], row["size"], linked=True, proven=row["proven"])
                index.put_member(repository, parse_digest(row["digest"]), link)
            elif table is tables.manifests:
                _put_manifest(index, repository, row, children[row["repository_id"], row["digest"]], files)
            else:
                index.set_tag(repository, row["tag"], TagEntry(parse_digest(row["digest"]), row["updated_at"]))

    return put


def _put_manifest(
    index: Projection, repository: Repository, row: RowMapping, needed: Sequence[Digest], files: Files
) -> None:
    digest = parse_digest(row["digest"])
    index.find_blob(digest, files.entry, row["size"])
    whole = all(index.serves(repository, blob) for blob in needed)
    index.put_manifest(repository, digest, row["media_type"], row["size"], whole)
    index.set_status(repository, digest, row["status"])


async def _needed(database: Database, manifests: _Rows) -> Mapping[tuple[int, str], list[Digest]]:
    """Return, for a page of manifests, the blobs that each cannot be pulled without."""
    table = tables.manifest_children
    key = tuple_(table.c.repository_id, table.c.manifest)
    first, last = ((row["repository_id"], row["digest"]) for row in (manifests[0], manifests[-1]))
    needed: defaultdict[tuple[int, str], list[Digest]] = defaultdict(list)
    async with database.read() as connection:
        chosen = select(table).where(key >= first, key <= last, table.c.kind == "blob")
        for row in (await connection.execute(chosen)).mappings():
            needed[row["repository_id"], row["manifest"]].append(parse_digest(row["digest"]))
    return needed


async def _pages(database: Database, table: Table) -> AsyncIterator[_Rows]:
    """Read a whole table by its primary key, each row with the name of its repository."""
    owner = tables.repositories
    key = tuple_(*table.primary_key.columns)
    chosen = (
        select(table) if table is owner else select(table, owner.c.registry, owner.c.upstream, owner.c.name).join(owner)
    )
    page = chosen.order_by(*table.primary_key.columns).limit(PAGE_ROWS)
    where = page
    while True:
        async with database.read() as connection:
            rows = (await connection.execute(where)).mappings().all()
        if not rows:
            return
        yield rows
        where = page.where(key > tuple(rows[-1][column.name] for column in table.primary_key.columns))


async def _count(database: Database, counted: "Select[int]") -> int:
    async with database.read() as connection:
        return (await connection.execute(counted)).scalar_one()


async def _linked(database: Database, chosen: "Select[str, int]") -> list[tuple[Digest, int]]:
    async with database.read() as connection:
        return [(parse_digest(text), size) for text, size in await connection.execute(chosen)]
