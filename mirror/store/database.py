"""The SQL database: one connection that writes, a few that only read.

Source: RELIABILITY findings 2 and 3.4. The linked SQLite may carry the WAL-reset bug, so exactly one connection writes
and checkpoints; every other is `query_only`. A transaction that reads and then writes must begin IMMEDIATE: a deferred
one fails at once, whatever the busy timeout. Blocking work is aiosqlite's, in its threads.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final, Self

from sqlalchemy import Column, Connection, MetaData, String, Table, event, insert, inspect, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from mirror.oci.errors import StorageFull, Unavailable
from mirror.store.disk import FILE_MODE
from mirror.store.tables import metadata

READERS_MAX: Final = 4  # listings and referrers only: warm pulls never come here
POOL_WAIT_S_MAX: Final = 10.0  # for a free connection; a read takes milliseconds
BUSY_MS_MAX: Final = 5_000  # for another process's lock, e.g. a backup
HEAD: Final = "0004"  # the newest step of migrations/; a test holds them together
_steps: Final = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))  # Alembic's

_WRITER_PRAGMAS: Final = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_MS_MAX}")
# A reader that is last to close must not checkpoint either, so the writer is closed after the readers.
# A step that makes a table anew drops the old one: foreign keys would empty its children, and cannot be told so later.
_STEPS_PRAGMAS: Final = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=OFF", f"busy_timeout={BUSY_MS_MAX}")
READER_PRAGMAS: Final = ("query_only=ON", "wal_autocheckpoint=0", f"busy_timeout={BUSY_MS_MAX}")


class Database:
    """The open database. `write` is for the ledger alone."""

    def __init__(self, path: Path) -> None:
        self._writer = _engine(path, _WRITER_PRAGMAS, "BEGIN IMMEDIATE", 1)
        self._readers = _engine(path, READER_PRAGMAS, "BEGIN", READERS_MAX)

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open or make the database and bring its tables up to date."""
        await asyncio.to_thread(_make_private, path)
        steps = await asyncio.to_thread(_engine, path, _STEPS_PRAGMAS, "BEGIN IMMEDIATE", 1)
        try:
            async with steps.begin() as connection:
                await connection.run_sync(_bring_up_to_date)
        finally:
            await steps.dispose()
        return await asyncio.to_thread(cls, path)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Begin the one write transaction: committed at the end of the block, rolled back when it raises."""
        async with self._writer.begin() as connection:
            yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Begin a read transaction: one snapshot for the block. Keep it short: it stops checkpoints."""
        try:
            async with self._readers.begin() as connection:
                yield connection
        except PoolTimeout:
            raise Unavailable("too many readers of the database") from None

    async def close(self) -> None:
        await self._readers.dispose()
        await self._writer.dispose()


@contextmanager
def full_disk_refused_by_sql() -> Iterator[None]:
    """Turn SQLite's "database or disk is full" into StorageFull; other errors pass."""
    try:
        yield
    except OperationalError as error:
        if "full" in str(error.orig):
            raise StorageFull("no room left on the disk of this registry") from error
        raise


def _make_private(path: Path) -> None:
    """Make the file before SQLite does, for ourselves only; the WAL gets its mode."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))


def _engine(path: Path, pragmas: tuple[str, ...], begin: str, size: int) -> AsyncEngine:
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}", pool_size=size, max_overflow=0, pool_timeout=POOL_WAIT_S_MAX
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        # The driver would begin transactions by its own rules: we say when, and how.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _bring_up_to_date(connection: Connection) -> None:
    """Make the tables of a new database at once, and take an old one there by steps: both ends are the same."""
    names = set(inspect(connection).get_table_names())
    if not names:
        metadata.create_all(connection)
        _steps.create(connection)
        connection.execute(insert(_steps).values(version_num=HEAD))
    elif _steps.name not in names or _version(connection) != HEAD:
        _migrate(connection)


def _migrate(connection: Connection) -> None:
    # Alembic takes a tenth of a second to import: only a start that has tables to change pays for it.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", "mirror.store:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _version(connection: Connection) -> str | None:
    return connection.execute(select(_steps.c.version_num)).scalar()
