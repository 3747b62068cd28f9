"""Holders: the repositories that name some bytes. SQL only; asked when bytes are lost, which is rare."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Select, select, tuple_

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.names import Repository, read_registry
from mirror.store import tables
from mirror.store.database import Database

HOLDERS_MAX: Final = 16  # of each kind: bytes that none of these can give back are not asked for elsewhere
PAGE_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Holder:
    """A repository that names some bytes, as a manifest of its own or as a blob, and of how many."""

    repository: Repository
    is_manifest: bool
    size: int


class Holders:
    """Who names which bytes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, digest: Digest) -> list[Holder]:
        """List repositories that name a digest, our own first and then those of upstreams, HOLDERS_MAX of each."""
        found: list[Holder] = []
        for table in (tables.manifests, tables.blob_links):
            owner = tables.repositories.c
            chosen = select(owner.registry, owner.upstream, owner.name, table.c.size)
            chosen = chosen.join_from(tables.repositories, table).where(table.c.digest == str(digest))
            for side in (owner.upstream == "", owner.upstream != ""):
                rows = await self._rows(chosen.where(side).limit(HOLDERS_MAX))
                found += [Holder(_repository(row), table is tables.manifests, row.size) for row in rows]
        return sorted(found, key=lambda holder: not holder.repository.owned)

    async def whole_with(self, digest: Digest) -> AsyncIterator[list[tuple[Repository, Digest]]]:
        """Yield, page by page, the images of upstreams that a blob is needed for, and the lists that name those."""
        link, child = tables.blob_links, tables.manifest_children
        same = (child.c.repository_id == link.c.repository_id) & (child.c.digest == link.c.digest)
        images = select(child.c.repository_id, child.c.manifest).join(link, same).where(link.c.digest == str(digest))
        needing = images.cte("needing", recursive=True)
        above = (child.c.repository_id == needing.c.repository_id) & (child.c.digest == needing.c.manifest)
        needing = needing.union(select(child.c.repository_id, child.c.manifest).join(needing, above))
        owner, key = tables.repositories, (needing.c.repository_id, needing.c.manifest)
        chosen = select(needing, owner.c.registry, owner.c.upstream, owner.c.name)
        chosen = chosen.join(owner, owner.c.id == needing.c.repository_id).where(owner.c.upstream != "")
        async for rows in self._pages(chosen, key, lambda row: (row.repository_id, row.manifest)):
            yield [(_repository(row), parse_digest(row.manifest)) for row in rows]

    async def ours(self) -> AsyncIterator[list[Digest]]:
        """Yield, page by page, the digests of all that repositories of our own name; some of them twice."""
        for table in (tables.blob_links, tables.manifests):
            key = table.c.repository_id, table.c.digest
            chosen = select(table.c.repository_id, table.c.digest).join(tables.repositories)
            chosen = chosen.where(tables.repositories.c.upstream == "")
            async for rows in self._pages(chosen, key, lambda row: (row.repository_id, row.digest)):
                yield [parse_digest(row.digest) for row in rows]

    async def _pages(
        self, chosen: Select[Any], key: tuple[Any, Any], key_of: Callable[[Any], tuple[int, str]]
    ) -> AsyncIterator[Sequence[Any]]:
        page = chosen.order_by(*key).limit(PAGE_MAX)
        rows = await self._rows(page)
        while rows:
            yield rows
            rows = await self._rows(page.where(tuple_(*key) > key_of(rows[-1])))

    async def _rows(self, chosen: Select[Any]) -> Sequence[Any]:
        async with self._database.read() as connection:
            rows: Sequence[Any] = (await connection.execute(chosen)).all()
        return rows


def _repository(row: Any) -> Repository:
    return Repository(read_registry(row.registry), row.upstream, row.name)
