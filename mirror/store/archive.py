"""The archive: a directory, of another disk as a rule, with the bytes that only archived images need.

Source: issue section "Lifecycle policies". A blob that was moved is a link in the store, so who opens, looks at or
collects it need not know. Each link leads through one other, `<root>/archive`: an archive that was mounted elsewhere is
that one link to change. It leads to a directory whose name is this store's alone: two nodes may share a disk, and an
empty mount point is told from the archive. At each moment either the file in the store or that in the archive is whole
and durable: a name is given after its bytes are synced, taken away after the other name is.

Everything here blocks and belongs in a thread.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

import structlog

from mirror.oci.digest import HEX_LENGTHS, Digest, hasher
from mirror.oci.errors import StorageFull
from mirror.store.disk import BLOBS, FILE_MODE, disk_room, full_disk_refused, make_directory, sync_directory, sync_file
from mirror.store.files import Files, named_in, shards
from mirror.store.quarantine import Mark, mark_of
from mirror.store.space import free_bytes

SPARE_BYTES: Final = 16 * 1024 * 1024  # of the archive's disk: names need room too
_STAGE: Final = "stage"

_log = structlog.get_logger(__name__)


class Archive:
    """The archive of one store. `root` is where the operator wants it; None: nothing is moved, what was comes back."""

    def __init__(self, files: Files, root: Path | None) -> None:
        self.root = root
        self.fault = ""  # why it is not here, "" when it is
        self._files = files
        self._anchor = files.archive

    @property
    def is_wanted(self) -> bool:
        """Tell whether there is an archive, be it away, or should be one."""
        return self.root is not None or self._anchor.is_symlink()

    def attach(self) -> bool:
        """Find the archive, or make it the first time; tell whether it is here. What is wrong is in `fault`."""
        fault = self._attach() if self.is_wanted else ""
        if fault != self.fault:
            if fault:
                _log.warning("the archive cannot be used", reason=fault)
            else:
                _log.info("the archive is there", path=os.fspath(self._anchor.resolve()))
        self.fault = fault
        return self.is_wanted and not fault

    def check(self) -> None:
        """Raise FileNotFoundError where there should be an archive and it is not there."""
        if self.is_wanted and not self._files.archive_is_here():
            raise FileNotFoundError(errno.ENOENT, "the archive is not there", os.fspath(self.root or self._anchor))

    def _attach(self) -> str:
        try:
            if self.root is not None:
                self._make() if not self._anchor.is_symlink() else self._follow(self.root)
        except (OSError, StorageFull) as error:
            return f"{self.root}: {error}"
        place = self._anchor.readlink()
        if not self._files.archive_is_here():
            return f"{place} is not there: is its disk mounted?"
        if self.root is not None and place.parent != self.root:
            return f"{place} is not in {self.root}: it is read, and nothing is moved until it has been brought there"
        return ""

    def _make(self) -> None:
        assert self.root is not None
        place = self.root / f"mirror-{uuid4().hex}"
        with full_disk_refused():
            make_directory(place)
            for directory in (place / _STAGE, place / BLOBS, *(place / BLOBS / one for one in HEX_LENGTHS)):
                make_directory(directory)
            for directory in (place / BLOBS, place, self.root):
                sync_directory(directory)
            self._anchor.symlink_to(place)
            sync_directory(self._anchor.parent)

    def _follow(self, root: Path) -> None:
        """Let the archive be known where it is now, if it is there: the disk was mounted elsewhere."""
        place = root / self._anchor.readlink().name
        if self._anchor.readlink() != place and (place / BLOBS).is_dir():
            _link(self._files, place, self._anchor)

    def clear(self) -> None:
        """Remove what a crash left half copied. Before anything is copied."""
        make_directory(self._anchor / _STAGE)
        for path in (self._anchor / _STAGE).iterdir():
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Forget an archive that is not wanted any more and has no blobs."""
        self._anchor.unlink(missing_ok=True)

    def room(self) -> tuple[int, int]:
        """Return how many bytes of its disk are free for us, and how many it has; (0, 0) when it is not there."""
        try:
            return disk_room(self._anchor / BLOBS)
        except OSError:
            return 0, 0

    def scan(self) -> Iterator[Digest]:
        """Walk what the archive has; one directory of names in memory at a time."""
        for algorithm, shard in shards():
            # Made with its first blob.
            with suppress(FileNotFoundError):
                yield from (digest for digest, _ in named_in(f"{self._anchor}/{BLOBS}/{algorithm}/{shard}", algorithm))

    # Into the archive: copy, keep, link.

    def copy_in(self, digest: Digest) -> "Copy | None":
        """Begin to copy a file of the store; None when there is none, or it is here already. Raises StorageFull."""
        status = self._regular(digest)
        if status is None:
            return None
        with full_disk_refused():
            if free_bytes(self._anchor) < status.st_size + SPARE_BYTES:
                raise StorageFull(f"no room left in the archive for {status.st_size} bytes")
            return Copy(self._files.path(digest), self._anchor / _STAGE / uuid4().hex, digest)

    def keep(self, copy: "Copy") -> None:
        """Give what was copied its name in the archive, durably."""
        target = self._files.archived(copy.digest)
        make_directory(target.parent)
        sync_directory(target.parent.parent)
        copy.staged.replace(target)
        sync_directory(target.parent)

    def link(self, digest: Digest, mark: Mark) -> bool:
        """Let a link take the place of the file that was copied, durably; False when that is gone, or is another.

        Who is not holding the blob meanwhile might bring back the name of one that was collected.
        """
        status = self._regular(digest)
        if status is None or mark_of(status) != mark:
            return False
        self.mend(digest)
        return True

    # Out of the archive: copy, take back, remove.

    def copy_out(self, digest: Digest) -> "Copy | None":
        """Begin to copy a file of the archive; None when it is gone."""
        try:
            with full_disk_refused():
                return Copy(self._files.archived(digest), self._files.writes / uuid4().hex, digest)
        except FileNotFoundError:
            return None

    def take_back(self, copy: "Copy") -> bool:
        """Let the file that was copied take the place of its link, durably; False when there is no link any more.

        Who is not holding the blob meanwhile might bring back the name of one that was collected.
        """
        if not self._files.is_linked(copy.digest):
            copy.drop()
            return False
        self._files.publish(copy.staged, copy.digest)
        return True

    def mend(self, digest: Digest) -> None:
        """Give bytes in the archive their name in the store, durably."""
        through = Path("../../..") / self._files.archived(digest).relative_to(self._files.root)
        _link(self._files, through, self._files.path(digest))

    def remove(self, digest: Digest) -> int:
        """Remove bytes that the store does not need from here; return how many.

        Its directory comes first: a power cut might bring the link back, which would lead nowhere.
        """
        path = self._files.archived(digest)
        sync_directory(self._files.path(digest).parent)
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            return 0
        path.unlink(missing_ok=True)
        return size

    def _regular(self, digest: Digest) -> os.stat_result | None:
        path = self._files.path(digest)
        try:
            status = path.lstat()
        except FileNotFoundError:
            return None
        return None if path.is_symlink() else status


class Copy:
    """A file that is copied piece by piece, and hashed on the way. Raises FileNotFoundError, StorageFull, OSError.

    No file is open between two pieces: who is stopped there leaves nothing open.
    """

    def __init__(self, source: Path, staged: Path, digest: Digest) -> None:
        self.digest = digest
        self.staged = staged
        self.mark = mark_of(source.stat())
        self.size = 0
        self._source = source
        self._hash = hasher(digest.algorithm)
        os.close(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))

    def go_on(self, count: int) -> bool:
        """Copy up to `count` bytes more; False at the end, and where the file is another now."""
        descriptor = os.open(self._source, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if mark_of(os.fstat(descriptor)) != self.mark:
                return False
            # What nobody asks for must not push out what clients ask for.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_NOREUSE)
            data = os.pread(descriptor, count, self.size)
        finally:
            os.close(descriptor)
        self._hash.update(data)
        with full_disk_refused(), self.staged.open("r+b") as file:
            file.seek(self.size)
            file.write(data)
        self.size += len(data)
        return bool(data)

    def finish(self) -> bool:
        """Make the bytes safe; tell whether they are what their name says."""
        with full_disk_refused():
            sync_file(self.staged)
        return self._hash.hexdigest() == self.digest.hex

    def drop(self) -> None:
        self.staged.unlink(missing_ok=True)


def _link(files: Files, text: Path, name: Path) -> None:
    """Make a link that leads to `text`, in the place of whatever has the name, durably."""
    staged = files.writes / uuid4().hex
    with full_disk_refused():
        staged.symlink_to(text)
        staged.replace(name)
        sync_directory(name.parent)
