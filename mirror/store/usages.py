"""Usages: how many images repositories have, and the bytes that they name, by SQL.

Source: ECR guide, "imageSizeInBytes": an image is as large as what its manifest names, as it is stored, without the
manifest itself. Of several images of a repository each blob counts once; of several repositories, in each. Foreign
blobs are stored elsewhere.
"""

from typing import Any

from sqlalchemy import Select, func, select

from mirror.oci.digest import Digest
from mirror.oci.manifest import Manifest
from mirror.oci.names import Registry, Repository
from mirror.rules.quotas import Usage
from mirror.store import tables
from mirror.store.database import Database
from mirror.store.ledger import named
from mirror.store.rows import listed


class Usages:
    """What is counted."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_repository(self, repository: Repository) -> Usage:
        """Count what a repository has."""
        return await self._count(select(tables.repositories.c.id).where(*named(repository)))

    async def of_account(self, account: str) -> Usage:
        """Count what the repositories of an account have, in both of its registries; not what it caches."""
        table = tables.repositories
        registries = [str(Registry(account)), str(Registry(account, public=True))]
        return await self._count(select(table.c.id).where(table.c.registry.in_(registries), table.c.upstream == ""))

    async def added(self, repository: Repository, digest: Digest, manifest: Manifest) -> Usage:
        """Say what a repository would have more with a manifest, which may be there already."""
        child, image = tables.manifest_children, tables.manifests
        sizes = {str(blob.digest): blob.size for blob in manifest.needed}
        ids = select(tables.repositories.c.id).where(*named(repository)).scalar_subquery()
        known = select(child.c.digest).where(
            child.c.repository_id == ids, child.c.digest.in_(listed(sizes)), child.c.kind == "blob"
        )
        here = select(image.c.digest).where(image.c.repository_id == ids, image.c.digest == str(digest))
        async with self._database.read() as connection:
            if (await connection.execute(here)).first() is not None:
                return Usage()
            counted = set((await connection.execute(known)).scalars())
        return Usage(sum(size for blob, size in sizes.items() if blob not in counted), 1)

    async def _count(self, ids: Select[Any]) -> Usage:
        child, image = tables.manifest_children, tables.manifests
        blobs = (
            select(func.max(child.c.size).label("size"))
            .where(child.c.repository_id.in_(ids), child.c.kind == "blob")
            .group_by(child.c.repository_id, child.c.digest)
            .subquery()
        )
        images = select(func.count()).select_from(image).where(image.c.repository_id.in_(ids))
        async with self._database.read() as connection:
            size = (await connection.execute(select(func.sum(blobs.c.size)))).scalar()
            return Usage(int(size or 0), int((await connection.execute(images)).scalar_one()))
