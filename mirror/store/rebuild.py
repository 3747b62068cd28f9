"""How the index is made: from the change log behind its cursor, or whole from the database and the files.

Source: DESIGN section 2: the index is the truth of nothing. What only it knew is lost by a rebuild, and none of it is
needed: when a tag was last checked falls back to when it was set, kept answers of upstreams are asked for again.
Runs before anything is served; never beside a writer of the database.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final

from sqlalchemy import RowMapping, Table, func, select, tuple_

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.names import Repository, read_registry
from mirror.store import tables
from mirror.store.changelog import last_seq, read_changes
from mirror.store.database import Database
from mirror.store.entries import TagEntry
from mirror.store.files import Files
from mirror.store.index import Index
from mirror.store.projection import Projection

PAGE_ROWS: Final = 1_000  # rows in memory, and in one commit of the index

Progress = Callable[[int, int], object]  # rows done, rows in all
_Rows = Sequence[RowMapping]


async def replay(database: Database, index: Index, files: Files) -> int:
    """Let the index take in what the log has behind its cursor; return how many changes that were."""
    taken = 0
    while changes := await read_changes(database, index.cursor(), PAGE_ROWS):
        await index.apply(changes, files.entry)
        taken += len(changes)
    return taken


async def rebuild(database: Database, index: Index, files: Files, progress: Progress | None = None) -> None:
    """Fill an empty index. It counts as built only when this has returned: a crash on the way starts anew."""
    seq = await last_seq(database)
    rows_all = sum([await _count(database, table) for table in _ORDER])
    rows_done = 0
    for table in _ORDER:
        async for rows in _pages(database, table):
            children = await _needed(database, rows) if table is tables.manifests else {}
            await index.write(_step(table, rows, children, files))
            rows_done += len(rows)
            if progress is not None:
                progress(rows_done, rows_all)
    await index.finish_build(seq)


# Manifests after links: the bytes that are here are known then, and a manifest can be asked whether it is whole.
_ORDER: Final = (tables.repositories, tables.blob_links, tables.manifests, tables.tags)


def _step(
    table: Table, rows: _Rows, children: Mapping[tuple[int, str], list[Digest]], files: Files
) -> Callable[[Projection], None]:
    def put(index: Projection) -> None:
        for row in rows:
            repository = Repository(read_registry(row["registry"]), row["upstream"], row["name"])
            if table is tables.repositories:
                index.put_repository(repository, row["settings"].encode())
            elif table is tables.blob_links:
                _put_link(index, repository, row, files)
            elif table is tables.manifests:
                _put_manifest(index, repository, row, children[row["repository_id"], row["digest"]], files)
            else:
                index.set_tag(repository, row["tag"], TagEntry(parse_digest(row["digest"]), row["updated_at"]))

    return put


def _put_link(index: Projection, repository: Repository, row: RowMapping, files: Files) -> None:
    digest = parse_digest(row["digest"])
    index.find_blob(digest, files.entry, row["size"])
    index.link(repository, digest, row["media_type"], row["size"], proven=row["proven"])


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


async def _count(database: Database, table: Table) -> int:
    async with database.read() as connection:
        return (await connection.execute(select(func.count()).select_from(table))).scalar_one()
