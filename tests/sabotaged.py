"""A node that breaks one of its promises to the disk: `python sabotaged.py PROMISE serve --config FILE`.

For tests of tests: one that cannot tell this node from a good one shows nothing. A commit of the index is no promise:
what it loses is replayed from the database.
"""

import os
import re
import sys

from mirror.cli import main
from mirror.store import database

SYNC = os.fsync
FILES = {
    "the bytes of an upload": r"/stage/uploads/[^/]+$",
    "the bytes of a manifest": r"/stage/writes/[^/]+$",
    "the bytes of a fill": r"/stage/fills/[^/]+$",
    "the name of a blob": r"/blobs/[^/]+/[^/]+$",
}
PROMISES = (*FILES, "a commit of the database")


def break_file(pattern: str) -> None:
    """Leave out the fsync of what matches."""

    def fsync(file: int) -> None:
        if not re.search(pattern, os.readlink(f"/proc/self/fd/{file}")):
            SYNC(file)

    os.fsync = fsync


def break_database() -> None:
    lazy = tuple(pragma.replace("synchronous=FULL", "synchronous=OFF") for pragma in database._WRITER_PRAGMAS)
    assert lazy != database._WRITER_PRAGMAS
    database._WRITER_PRAGMAS = lazy


if __name__ == "__main__":
    promise = sys.argv.pop(1)
    if promise in FILES:
        break_file(FILES[promise])
    else:
        break_database()
    main()
