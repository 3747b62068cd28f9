"""Cursors: how far each consumer of the change log has come. A consumer may be late, crash, and repeat."""

import time

from sqlalchemy import select

from mirror.store import tables
from mirror.store.changelog import last_seq
from mirror.store.database import Database
from mirror.store.ledger import Entry, Ledger
from mirror.store.rows import put_rows


class Cursors:
    """The cursors of all consumers, by name."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger

    async def read(self, name: str) -> int:
        """Return the last change that `name` is done with; a new consumer begins now, and is remembered."""
        table = tables.cursors
        async with self._database.read() as connection:
            found = (await connection.execute(select(table.c.seq).where(table.c.name == name))).scalar()
        if found is not None:
            return int(found)
        seq = await last_seq(self._database)
        await self.move(name, seq)
        return seq

    async def move(self, name: str, seq: int) -> None:
        """Say that `name` is done with the changes up to `seq`."""

        async def put(entry: Entry) -> None:
            await put_rows(entry.connection, tables.cursors, [{"name": name, "seq": seq, "updated_at": time.time()}])

        await self._ledger.commit(put)
