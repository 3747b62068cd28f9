"""What the disk says and promises: full means 507, and a name is safe once its directory is synced.

Source: RELIABILITY sections 0 and 3. Never retries an fsync: after a failed one the kernel may have dropped the pages
and the second call would lie.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from mirror.oci.errors import StorageFull

BLOBS: Final = "blobs"  # the directory that each store has
FILE_MODE: Final = 0o600  # bytes of private images: nobody else's business
DIRECTORY_MODE: Final = 0o700

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def full_disk_refused() -> Iterator[None]:
    """Turn "no space" and "over quota" into StorageFull; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull("no room left on the disk of this registry") from error
        raise


def disk_room(path: Path) -> tuple[int, int]:
    """Return how many bytes of the disk that has `path` are free for who is not root, and how many it has. Blocks."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize


def open_private(path: Path) -> BinaryIO:
    """Open `path` to add bytes at its end; a new file is ours alone, whatever the umask."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, FILE_MODE), "ab")


def make_directory(path: Path) -> None:
    """Make `path` unless it is there. The caller syncs the directory above."""
    path.mkdir(mode=DIRECTORY_MODE, exist_ok=True)


def sync_directory(path: Path) -> None:
    """Make the names in `path` safe: a rename that is not followed by this is lost in half of all power cuts."""
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def sync_file(path: Path) -> None:
    """Make the bytes of `path` safe."""
    _sync(path, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
