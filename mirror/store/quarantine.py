"""The quarantine: files of wrong bytes, put aside for a human to look at. Bounded: the oldest make room.

Source: RELIABILITY section 4, "Bit rot". A file is known by its mark, not by its name alone: right bytes may have taken
the name since somebody looked. Everything here blocks and belongs in a thread.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from mirror.oci.digest import Digest
from mirror.store.disk import make_directory, sync_directory
from mirror.store.files import Files

FILES_MAX: Final = 100
BYTES_MAX: Final = 4 * 1024**3  # of all together; what came last stays, whatever its size

Mark = tuple[int, int]  # of one file among all that ever have a name: its inode, and when it was written last


def mark_of(status: os.stat_result) -> Mark:
    return status.st_ino, status.st_mtime_ns


class Quarantine:
    """The quarantine of one storage root."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._folder = files.root / "quarantine"

    def take(self, digest: Digest, mark: Mark) -> bool:
        """Take a file out of the store, durably; False where another file has its name by now, or none."""
        source, aside = self._files.path(digest), self._place(digest)
        try:
            source.rename(aside)
        except FileNotFoundError:
            return False
        if mark_of(aside.stat()) != mark:
            # Right bytes were published meanwhile. Where more came since, they are as good.
            aside.rename(source)
            return False
        # Left to a power cut the name might come back, and be taken for right bytes.
        sync_directory(source.parent)
        self._settle(aside)
        return True

    def copy(self, digest: Digest) -> None:
        """Keep a file that is about to be written anew, under a second name."""
        aside = self._place(digest)
        aside.unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            os.link(self._files.path(digest), aside)
            self._settle(aside)

    def _place(self, digest: Digest) -> Path:
        make_directory(self._folder)
        return self._folder / f"{digest.algorithm}-{digest.hex}"

    def _settle(self, aside: Path) -> None:
        """Note when it came, and make room."""
        os.utime(aside)
        kept = sorted(((path.stat(), path) for path in self._folder.iterdir()), key=lambda one: one[0].st_mtime_ns)
        count, total = len(kept), sum(status.st_size for status, _ in kept)
        for status, path in kept:
            if path == aside or (count <= FILES_MAX and total <= BYTES_MAX):
                continue
            path.unlink(missing_ok=True)
            count, total = count - 1, total - status.st_size
