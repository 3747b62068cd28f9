"""What may be needed no more: blobs that something has stopped naming, written down in the same transaction.

So a collection looks at what changed and not at everything. A row is a suspicion: whether a blob is needed is asked
when its grace time is over. Runs inside the ledger's transaction, as `mutations.py` does; `since` is in unix seconds.
"""

from collections.abc import Collection, Iterable
from typing import Any, Final

from sqlalchemy import CompoundSelect, exists, literal, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from mirror.oci.digest import Digest
from mirror.store import tables
from mirror.store.ledger import Entry
from mirror.store.rows import listed, put_rows, put_selected

AT_ONCE: Final = 0.0  # of cached content: what else needs it, or was told of it, is asked in any case


async def suspect_image(entry: Entry, repository_id: int | None, digest: Digest, since: float) -> None:
    """Suspect a manifest that is about to be deleted, and all that it names."""
    child, image = tables.manifest_children.c, tables.manifests.c
    named = select(child.digest).where(child.repository_id == repository_id, child.manifest == str(digest))
    itself = select(image.digest).where(image.repository_id == repository_id, image.digest == str(digest))
    await _suspect(entry, named.union(itself), since)


async def suspect_repository(entry: Entry, repository_id: int, since: float) -> None:
    """Suspect all that a repository has that is about to be deleted."""
    link, image = tables.blob_links.c, tables.manifests.c
    links = select(link.digest).where(link.repository_id == repository_id)
    await _suspect(entry, links.union(select(image.digest).where(image.repository_id == repository_id)), since)


async def suspect(entry: Entry, digests: Iterable[Digest], since: float) -> None:
    """Suspect some blobs."""
    await put_rows(entry.connection, tables.unneeded, [{"digest": str(one), "since": since} for one in digests])


async def only_named_by(connection: AsyncConnection, repository_id: int, manifests: Collection[str]) -> list[str]:
    """List the blobs that some manifests of a repository name and no other manifest there does, by their digests."""
    child, other = tables.manifest_children.c, tables.manifest_children.alias("other").c
    elsewhere = exists().where(
        other.repository_id == repository_id,
        other.digest == child.digest,
        other.kind != "manifest",
        other.manifest.not_in(listed(manifests)),
    )
    its = child.repository_id == repository_id, child.manifest.in_(listed(manifests)), child.kind != "manifest"
    return list((await connection.execute(select(child.digest).distinct().where(*its, ~elsewhere))).scalars())


async def _suspect(entry: Entry, chosen: CompoundSelect[Any], since: float) -> None:
    found = chosen.subquery()
    # Without a WHERE, SQLite takes ON CONFLICT for the join's (its documentation, "Parsing Ambiguity").
    rows = select(found.c.digest, literal(since)).where(true())
    await put_selected(entry.connection, tables.unneeded, ("digest", "since"), rows)
