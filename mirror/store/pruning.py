"""Pruning: the change log is kept for a while, not for ever. Who has not read a change by then has missed it.

Source: issue "It looks after itself": bounded. The newest changes stay whatever their age: a start replays from them,
and looks at them for what a power cut took.
"""

from typing import Final

from sqlalchemy import delete, select

from mirror.store.database import Database
from mirror.store.ledger import Entry, Ledger
from mirror.store.tables import changes

KEPT_MIN: Final = 10_000  # changes
BATCH_MAX: Final = 1_000  # changes of one transaction: pushes wait for some milliseconds


class Pruning:
    """Takes the oldest changes out of the log."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger

    async def prune(self, before: float) -> int:
        """Remove changes made before a time (unix seconds), oldest first, a batch at most; return how many."""
        newest = select(changes.c.seq).order_by(changes.c.seq.desc()).offset(KEPT_MIN).limit(1).scalar_subquery()
        oldest = (
            select(changes.c.seq, changes.c.at).where(changes.c.seq <= newest).order_by(changes.c.seq).limit(BATCH_MAX)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(oldest)).all()
        # In the order of the log, whatever the clock did: a hole in it would be missed by who reads on from there.
        old = next((number for number, (_, at) in enumerate(rows) if at >= before), len(rows))
        if old:
            last = rows[old - 1].seq

            async def remove(entry: Entry) -> None:
                await entry.connection.execute(delete(changes).where(changes.c.seq <= last))

            await self._ledger.commit(remove, frees=True)
        return old
