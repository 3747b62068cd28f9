"""Snapshots: copies of the database as it was at one moment, made while the node serves, for a backup to take away.

Source: SQLite, "Online Backup API": a source whose connection has a transaction open is read as of its beginning,
whatever is committed meanwhile. They lie under `stage/writes`, which a start empties; who asked for one moves it.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

from mirror.store.database import READER_PRAGMAS
from mirror.store.disk import FILE_MODE

STEP_PAGES: Final = 1_000  # 4 MB between two words about how it goes
LEFT_S_MAX: Final = 3_600.0  # a snapshot that nobody has fetched by then was left by a command that died
_PREFIX: Final = "snapshot-"

Progress = Callable[[int, int], object]  # pages copied, pages in all


class Snapshots:
    """Makes the snapshots of the store at `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._one = asyncio.Lock()

    async def take(self, progress: Progress) -> str:
        """Make a snapshot and return its name; one at a time. Raises OSError, sqlite3.Error."""
        async with self._one:
            return await asyncio.to_thread(self._take, progress)

    def _take(self, progress: Progress) -> str:
        self._sweep()
        name = f"{_PREFIX}{uuid4().hex}.db"
        path = snapshot_path(self._root, name)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))
        try:
            _copy(self._root / "mirror.db", path, progress)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return name

    def _sweep(self) -> None:
        for left in snapshot_path(self._root, "").glob(f"{_PREFIX}*"):
            with suppress(FileNotFoundError):
                if left.stat().st_mtime < time.time() - LEFT_S_MAX:
                    left.unlink()


def snapshot_path(root: Path, name: str) -> Path:
    """Return where the snapshot `name` of the store at `root` lies."""
    return root / "stage" / "writes" / name


def _copy(source: Path, target: Path, progress: Progress) -> None:
    with closing(sqlite3.connect(source, isolation_level=None)) as live, closing(sqlite3.connect(target)) as copy:
        for pragma in READER_PRAGMAS:
            live.execute(f"PRAGMA {pragma}")
        live.execute("BEGIN")
        # The transaction begins with its first read.
        live.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        live.backup(copy, pages=STEP_PAGES, progress=lambda _, left, total: progress(total - left, total))
