"""The reserve: a file of no content whose room clean-up is given on a full disk, where even a deletion has to write.

Source: RELIABILITY section 0, finding 8, and 3.3, 3.4: neither SQLite nor LMDB deletes a row without free pages. Given
up by the ledger for a transaction that makes room; made again when there is room for it and as much beside it. In
between nothing else is written to the database: the room is for clean-up.
"""

import os
from pathlib import Path
from typing import Final

import structlog

from mirror.store.disk import FILE_MODE
from mirror.store.space import free_bytes

NAME: Final = "reserve"
RESERVE_BYTES: Final = 8 * 1024 * 1024  # SQL's log of 4 MiB before it is taken in, and the pages of LMDB's trees

_log = structlog.get_logger(__name__)


class Reserve:
    """The reserve under `root`. `held` tells whether it is there; `spent`, that it was given up for a clean-up."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._path = root / NAME
        self.held = self._path.exists()
        self.spent = False

    def make(self) -> bool:
        """Make it, unless it is there or there is no room; tell whether it is there. Blocks."""
        if not self.held and free_bytes(self._root) >= 2 * RESERVE_BYTES:
            self.held = self._allocate()
            if self.held and self.spent:
                _log.info("there is room on the disk again", reserve_bytes=RESERVE_BYTES)
            self.spent = self.spent and not self.held
        return self.held

    def give_up(self) -> bool:
        """Let clean-up have its room; tell whether there was any. Blocks."""
        if not self.held:
            return False
        self._path.unlink(missing_ok=True)
        self.held, self.spent = False, True
        _log.warning("the disk is full: the reserve is given up for clean-up", reserve_bytes=RESERVE_BYTES)
        return True

    def lend(self) -> None:
        """Give it up for a start on a full disk, which has a log to replay; `make` comes behind it. Blocks."""
        if self.held and free_bytes(self._root) < RESERVE_BYTES:
            self._path.unlink(missing_ok=True)
            self.held = False

    def _allocate(self) -> bool:
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
            try:
                os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
            finally:
                os.close(descriptor)
        except OSError:
            self._path.unlink(missing_ok=True)
            return False
        return True
