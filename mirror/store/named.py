"""The blobs that a copy of the database names, directory by directory, for backups and restores.

Source: store/tables.py. Reads a file that nobody writes. All but `open` blocks, in any one thread at a time.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from mirror.oci.digest import Digest, parse_digest

# Whether some repository of our own names it: only then is a blob that is not here a loss, and no miss.
_NAMED: Final = """
INSERT INTO named SELECT digest, max(upstream = '') FROM (
    SELECT digest, repository_id FROM blob_links UNION ALL SELECT digest, repository_id FROM manifests
) JOIN repositories ON repositories.id = repository_id GROUP BY digest
"""
_COUNTS: Final = """
SELECT (SELECT count(*) FROM repositories), (SELECT count(*) FROM manifests), (SELECT count(*) FROM tags),
    (SELECT coalesce(max(seq), 0) FROM changes)
"""


@dataclass(frozen=True, slots=True)
class Counts:
    """What a database holds; `seq` is its last change."""

    repositories: int
    manifests: int
    tags: int
    seq: int


class Named:
    """What is named in one database file. Use with `async with Named.open(path)`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute("CREATE TEMP TABLE named (digest TEXT PRIMARY KEY, ours INTEGER NOT NULL) WITHOUT ROWID")
        connection.execute(_NAMED)
        (self.blobs,) = connection.execute("SELECT count(*) FROM named").fetchone()

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator["Named"]:
        """Read the database at `path`, to which nobody writes. Raises sqlite3.DatabaseError when it is none."""
        connection = await asyncio.to_thread(_connect, path)
        try:
            yield await asyncio.to_thread(cls, connection)
        finally:
            await asyncio.to_thread(connection.close)

    def below(self, algorithm: str, shard: str) -> Mapping[Digest, bool]:
        """Return the blobs whose hex digits begin with `shard`, each with whether it is our own."""
        first = f"{algorithm}:{shard}"
        # "g" sorts behind every hex digit.
        chosen = self._connection.execute(
            "SELECT digest, ours FROM named WHERE digest >= ? AND digest < ?", (first, f"{first}g")
        )
        return {parse_digest(text): bool(ours) for text, ours in chosen}

    def counts(self) -> Counts:
        return Counts(*self._connection.execute(_COUNTS).fetchone())


def _connect(path: Path) -> sqlite3.Connection:
    address = f"file:{quote(str(path))}?mode=ro&immutable=1"
    return sqlite3.connect(address, uri=True, check_same_thread=False)
