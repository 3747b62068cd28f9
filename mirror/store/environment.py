"""The LMDB environment of the index: how it is opened, its sub-databases, and when it is no good.

Source: RELIABILITY 3.3. No writemap: on a full disk it ends the process by SIGBUS. `metasync=False` may lose the last
commit in a power cut, never the database: the projection's cursor sits in that same commit, so start-up replays the
change log behind it, and the entry of a lost cache fill leaves only a file that nobody points at.
"""

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import lmdb

from mirror.oci.names import NAME_CHARS_MAX, TAG_CHARS_MAX
from mirror.store.disk import FILE_MODE, make_directory
from mirror.store.entries import COUNT, LAYOUT

MAP_BYTES: Final = 64 * 1024**3  # address space, not disk: growing stops the readers, so start where most never get
READERS_MAX: Final = 1_024  # the default of 126 is a limit on look-ups at once in every process that reads
SPARE_READS: Final = 4  # kept ready: a look-up then costs no allocation
KEY_BYTES_MAX: Final = 511  # LMDB's own
DOCUMENT_KEY_CHARS_MAX: Final = 146  # "referrers " and the longest digest, 135
UPSTREAM_CHARS_MAX: Final = 80  # held by the configuration
_REGISTRY_CHARS: Final = 19  # "public." and an account
_HUB_PREFIX_CHARS: Final = len("library/")  # what routing puts before a name that was already at its limit
# The longest key that can come: three parts of a repository, a NUL behind each, and a document's key or a tag.
_REPOSITORY_CHARS: Final = _REGISTRY_CHARS + UPSTREAM_CHARS_MAX + _HUB_PREFIX_CHARS + NAME_CHARS_MAX + 3
assert _REPOSITORY_CHARS + DOCUMENT_KEY_CHARS_MAX <= KEY_BYTES_MAX
assert TAG_CHARS_MAX <= DOCUMENT_KEY_CHARS_MAX

CURSOR: Final = b"cursor"
BYTES: Final = b"bytes"  # of all blobs that are here
_LAYOUT: Final = b"layout"


class IndexDamaged(Exception):
    """This index cannot be used: missing, broken, of another layout or not finished. It can be built again."""


@dataclass(frozen=True, slots=True)
class Tables:
    """The sub-databases. Keys: a digest's, or a repository's with digest, tag or document key behind it; words."""

    blobs: lmdb._Database
    inline: lmdb._Database
    members: lmdb._Database
    tags: lmdb._Database
    documents: lmdb._Database
    repositories: lmdb._Database
    meta: lmdb._Database


def open_environment(path: Path, map_bytes: int = MAP_BYTES) -> tuple[lmdb.Environment, Tables]:
    """Open or make the environment. Raises IndexDamaged when LMDB cannot read what is there. Blocks."""
    try:
        make_directory(path)
        environment = _open(path, map_bytes)
        _refuse_cut_off(environment, path)
        tables = Tables(*(environment.open_db(field.name.encode()) for field in fields(Tables)))
        environment.reader_check()
    except lmdb.Error as error:
        raise IndexDamaged(f"{path.name}: {error}") from error
    return environment, tables


def _open(path: Path, map_bytes: int) -> lmdb.Environment:
    return lmdb.open(
        os.fspath(path),
        map_size=map_bytes,
        metasync=False,
        readahead=False,  # look-ups are random: reading around them would only push out pages that are in use
        mode=FILE_MODE,
        max_readers=READERS_MAX,
        max_dbs=len(fields(Tables)),
        max_spare_txns=SPARE_READS,
    )


def _refuse_cut_off(environment: lmdb.Environment, path: Path) -> None:
    """Refuse a file shorter than the pages it counts: reading behind its end would be a SIGBUS, not an error."""
    pages = int(environment.info()["last_pgno"]) + 1
    if (path / "data.mdb").stat().st_size < pages * int(environment.stat()["psize"]):
        environment.close()
        raise IndexDamaged(f"{path.name} was cut off")


def read_cursor(environment: lmdb.Environment, tables: Tables) -> int:
    """Return the last change that this index has taken in. Raises IndexDamaged unless it was once built whole."""
    try:
        with environment.begin() as transaction:
            layout, cursor = transaction.get(_LAYOUT, db=tables.meta), transaction.get(CURSOR, db=tables.meta)
    except lmdb.Error as error:
        raise IndexDamaged(str(error)) from error
    if layout is None or cursor is None:
        raise IndexDamaged("the index was never finished")
    if layout != COUNT.pack(LAYOUT):
        raise IndexDamaged(f"the index has layout {layout!r}, this release wants {LAYOUT}")
    return int(COUNT.unpack(cursor)[0])


def mark_built(transaction: lmdb.Transaction, tables: Tables, cursor: int) -> None:
    """Say that the index is whole up to the change `cursor`. Goes into the last transaction of a rebuild."""
    transaction.put(_LAYOUT, COUNT.pack(LAYOUT), db=tables.meta)
    transaction.put(CURSOR, COUNT.pack(cursor), db=tables.meta)
