"""What a repository has and how much it is used, counted by the database for who asks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mirror.oci.names import Repository
from mirror.store import tables
from mirror.store.ledger import named
from mirror.store.mutations import PULLS_KIND


@dataclass(frozen=True, slots=True)
class Usage:
    """Counts of a repository; `size` are the bytes that it names, each blob once. Times in unix seconds, or None."""

    images: int
    tags: int
    blobs: int
    size: int
    pulls: int
    pulled_at: float | None
    pushed_at: float | None


async def read_usage(connection: AsyncConnection, repository: Repository) -> Usage:
    """Read the usage of a repository; of one that is not there nothing."""
    image, link, document = tables.manifests.c, tables.blob_links.c, tables.repository_documents
    known = func.sum(link.size).filter(link.size > 0)  # -1: nobody has told
    times = func.max(image.pulled_at), func.max(image.pushed_at)

    async def counted(table: Table, *more: Any) -> Sequence[Any]:
        chosen = select(func.count(), *more).select_from(table).join(tables.repositories)
        return (await connection.execute(chosen.where(*named(repository)))).one()

    images, manifest_bytes, pulled_at, pushed_at = await counted(tables.manifests, func.sum(image.size), *times)
    blobs, blob_bytes = await counted(tables.blob_links, known)
    (tags,) = await counted(tables.tags)
    pulls = select(document.c.body).join(tables.repositories).where(*named(repository), document.c.kind == PULLS_KIND)
    return Usage(
        images=images,
        tags=tags,
        blobs=blobs,
        size=(manifest_bytes or 0) + (blob_bytes or 0),
        pulls=int((await connection.execute(pulls)).scalar() or 0),
        pulled_at=pulled_at,
        pushed_at=pushed_at,
    )
