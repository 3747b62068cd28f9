"""Adoption: what was stored before there were registries becomes the node's own account's. Once, at a start."""

from sqlalchemy import select, update

from mirror.oci.names import Registry
from mirror.store import tables
from mirror.store.database import Database


async def adopt(database: Database, home: Registry) -> None:
    """Give the repositories of no registry, and their changes, to `home`. The index is built anew after that step."""
    table = tables.repositories
    async with database.read() as connection:
        waiting = await connection.execute(select(table.c.id).where(table.c.registry == "").limit(1))
        if waiting.scalar() is None:
            return
    async with database.write() as connection:
        for one in (table, tables.changes):
            await connection.execute(update(one).where(one.c.registry == "").values(registry=str(home)))
