"""Purging: what a repository caches is taken out of it, so that the next pull asks upstream. The bytes stay.

Rows and changes are those of any other deletion. With an image go the parts of it that nothing else in the repository
names: children, artifacts about it, its claims on blobs. A few images a transaction: pushes wait for no purge.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import ColumnElement, Table, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.names import Reference, Repository
from mirror.store import mutations, tables
from mirror.store.database import Database
from mirror.store.ledger import Entry, Ledger, named
from mirror.store.unneeded import only_named_by

IMAGES_MAX: Final = 10  # begun with in one transaction
LINKS_MAX: Final = 200  # blobs in one transaction, of those that no image names
_child, _image, _link, _tag = tables.manifest_children.c, tables.manifests.c, tables.blob_links.c, tables.tags.c


@dataclass(frozen=True, slots=True)
class Gone:
    """How much is gone, or would be: `size` in bytes, of manifests and blobs as the repository names them."""

    tags: int = 0
    manifests: int = 0
    blobs: int = 0
    size: int = 0

    def __add__(self, other: "Gone") -> "Gone":
        return Gone(
            self.tags + other.tags,
            self.manifests + other.manifests,
            self.blobs + other.blobs,
            self.size + other.size,
        )


@dataclass(slots=True)
class _Doomed:
    """Rows that go together: a tag alone, or manifests with their tags and blobs."""

    tag: str = ""
    manifests: set[str] = field(default_factory=set)
    blobs: list[str] = field(default_factory=list)


class Purges:
    """The verbs that purge. What names one image raises NamedByLists where a list of the repository needs it."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger

    async def forecast(self, repository: Repository, reference: Reference | None) -> Gone:
        """Say what `purge` would take away, or (None) all there is."""
        async with self._database.read() as connection:
            found = await connection.execute(select(tables.repositories.c.id).where(*named(repository)))
            repository_id = found.scalar()
            if repository_id is None:
                return Gone()
            if reference is None:
                return await _count_all(connection, repository_id)
            return await _count(connection, repository_id, await _doom(connection, repository_id, reference))

    async def purge(self, repository: Repository, reference: Reference, at: float) -> Gone:
        """Take a tag out of a repository, and with its last tag the image; or an image with all its tags."""
        return await self._ledger.commit(lambda entry: _purge(entry, repository, reference, at), frees=True)

    async def purge_some(self, repository: Repository, at: float) -> Gone | None:
        """Take some of all that a repository has out of it; None when nothing was left."""
        return await self._ledger.commit(lambda entry: _purge_some(entry, repository, at), frees=True)


async def _purge(entry: Entry, repository: Repository, reference: Reference, at: float) -> Gone:
    repository_id = await entry.repository_id(repository)
    if repository_id is None:
        return Gone()
    await entry.write_links()
    doomed = await _doom(entry.connection, repository_id, reference)
    return await _take(entry, repository, repository_id, doomed, at)


async def _purge_some(entry: Entry, repository: Repository, at: float) -> Gone | None:
    repository_id = await entry.repository_id(repository)
    if repository_id is None:
        return None
    await entry.write_links()
    roots = select(_image.digest).where(_image.repository_id == repository_id).limit(IMAGES_MAX)
    found = (await entry.connection.execute(roots)).scalars().all()
    doomed = _Doomed(manifests=set(found))
    if found:
        doomed.blobs = await only_named_by(entry.connection, repository_id, doomed.manifests)
    else:
        links = select(_link.digest).where(_link.repository_id == repository_id).limit(LINKS_MAX)
        doomed.blobs = list((await entry.connection.execute(links)).scalars())
    if not doomed.manifests and not doomed.blobs:
        return None
    return await _take(entry, repository, repository_id, doomed, at)


async def _take(entry: Entry, repository: Repository, repository_id: int, doomed: _Doomed, at: float) -> Gone:
    gone = await _count(entry.connection, repository_id, doomed)
    if doomed.tag:
        await mutations.delete_tag(entry, repository, doomed.tag, at)
    for digest in sorted(doomed.manifests):
        await mutations.delete_manifest(entry, repository, parse_digest(digest), at)
    for digest in doomed.blobs:
        await mutations.unlink_blob(entry, repository, parse_digest(digest), at)
    return gone


# What goes with what.


async def _doom(connection: AsyncConnection, repository_id: int, reference: Reference) -> _Doomed:
    if isinstance(reference, Digest):
        return await _doom_image(connection, repository_id, str(reference))
    chosen = select(_tag.digest).where(_tag.repository_id == repository_id, _tag.tag == reference)
    digest = (await connection.execute(chosen)).scalar()
    if digest is None:
        return _Doomed()
    others = select(func.count()).where(_tag.repository_id == repository_id, _tag.digest == digest)
    if (await connection.execute(others)).scalar_one() > 1 or await _lists(connection, repository_id, [digest]):
        return _Doomed(tag=reference)
    return await _doom_image(connection, repository_id, digest)


async def _doom_image(connection: AsyncConnection, repository_id: int, digest: str) -> _Doomed:
    is_there = select(_image.digest).where(_image.repository_id == repository_id, _image.digest == digest)
    if (await connection.execute(is_there)).scalar() is None:
        return _Doomed()
    lists = await _lists(connection, repository_id, [digest])
    if lists:
        raise mutations.NamedByLists([parse_digest(one) for _, one in lists])
    manifests = {digest}
    newest = manifests
    while newest := await _parts(connection, repository_id, newest, manifests):
        manifests |= newest
    return _Doomed(manifests=manifests, blobs=await only_named_by(connection, repository_id, manifests))


async def _parts(
    connection: AsyncConnection, repository_id: int, newest: Collection[str], doomed: Collection[str]
) -> set[str]:
    """Return children of `newest`, and artifacts about them, that have no tag and that no other list names."""
    children = select(_child.digest).where(
        _child.repository_id == repository_id, _child.manifest.in_(newest), _child.kind == "manifest"
    )
    here = _image.repository_id == repository_id, _image.digest.not_in(doomed)
    tagged = select(_tag.digest).where(_tag.repository_id == repository_id)
    chosen = select(_image.digest).where(
        *here, _image.digest.in_(children) | _image.subject.in_(newest), _image.digest.not_in(tagged)
    )
    found = set((await connection.execute(chosen)).scalars())
    return found - {digest for digest, _ in await _lists(connection, repository_id, found, doomed)}


async def _lists(
    connection: AsyncConnection, repository_id: int, digests: Collection[str], doomed: Collection[str] = ()
) -> Sequence[tuple[str, str]]:
    """Return which of `digests` are named by which lists that are not doomed."""
    chosen = select(_child.digest, _child.manifest).where(
        _child.repository_id == repository_id,
        _child.digest.in_(digests),
        _child.kind == "manifest",
        _child.manifest.not_in(doomed),
    )
    return [(digest, manifest) for digest, manifest in await connection.execute(chosen)]


# Counting.


async def _count(connection: AsyncConnection, repository_id: int, doomed: _Doomed) -> Gone:
    tags = and_(_tag.repository_id == repository_id, _tag.digest.in_(doomed.manifests))
    images = and_(_image.repository_id == repository_id, _image.digest.in_(doomed.manifests))
    links = and_(_link.repository_id == repository_id, _link.digest.in_(doomed.blobs))
    return Gone(tags=1 if doomed.tag else 0) + await _sum(connection, tags, images, links)


async def _count_all(connection: AsyncConnection, repository_id: int) -> Gone:
    return await _sum(
        connection,
        _tag.repository_id == repository_id,
        _image.repository_id == repository_id,
        _link.repository_id == repository_id,
    )


async def _sum(
    connection: AsyncConnection, tags: ColumnElement[bool], images: ColumnElement[bool], links: ColumnElement[bool]
) -> Gone:
    tag_count = select(func.count()).select_from(tables.tags).where(tags)
    manifests, manifest_bytes = await _total(connection, tables.manifests, images)
    blobs, blob_bytes = await _total(connection, tables.blob_links, links)
    return Gone((await connection.execute(tag_count)).scalar_one(), manifests, blobs, manifest_bytes + blob_bytes)


async def _total(connection: AsyncConnection, table: Table, which: ColumnElement[bool]) -> tuple[int, int]:
    known = func.sum(table.c.size).filter(table.c.size > 0)  # -1: nobody has told
    count, size = (await connection.execute(select(func.count(), known).select_from(table).where(which))).one()
    return count, size or 0
