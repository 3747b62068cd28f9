"""The change log, read: what every consumer does with a cursor of its own; written, by the ledger alone."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import orjson
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mirror.oci.digest import Digest
from mirror.oci.names import Repository
from mirror.store.changes import Change, read_change
from mirror.store.database import Database
from mirror.store.tables import changes


async def read_changes(database: Database, after: int, limit: int) -> list[Change]:
    """Read up to `limit` changes behind the seq `after`, oldest first."""
    async with database.read() as connection:
        rows = await connection.execute(
            select(changes).where(changes.c.seq > after).order_by(changes.c.seq).limit(limit)
        )
        return [read_change(row) for row in rows.mappings()]


async def recent_changes(database: Database, limit: int) -> Sequence[Change]:
    """Read the newest `limit` changes, newest first."""
    async with database.read() as connection:
        rows = await connection.execute(select(changes).order_by(changes.c.seq.desc()).limit(limit))
        return [read_change(row) for row in rows.mappings()]


async def origin_of(database: Database, repository: Repository, digest: Digest) -> str:
    """Return the registry, `account/region`, that a manifest was replicated from last; "" where it was not.

    Reads all of the log, which is in no order but its own: for a person who asks, not for a request.
    """
    table = changes.c
    chosen = select(table.detail).where(
        table.kind == "manifest.put",
        table.digest == str(digest),
        table.registry == str(repository.registry),
        table.upstream == repository.upstream,
        table.repository == repository.name,
    )
    async with database.read() as connection:
        found = (await connection.execute(chosen.order_by(table.seq.desc()).limit(1))).scalar()
    return str(orjson.loads(found or "{}").get("origin", ""))


async def last_seq(database: Database) -> int:
    """Return the seq of the newest change, 0 when there is none."""
    recent = await recent_changes(database, 1)
    return recent[0].seq if recent else 0


async def append_changes(connection: AsyncConnection, made: Iterable[Change]) -> list[Change]:
    """Write changes to the log; return them with their places in it."""
    made = list(made)
    if not made:
        return []
    statement = insert(changes).returning(changes.c.seq, sort_by_parameter_order=True)
    placed = await connection.execute(statement, [change.row() for change in made])
    return [replace(change, seq=seq) for change, seq in zip(made, placed.scalars(), strict=True)]
