"""A small disk of its own for a store, that a test fills up and makes room on. Needs the right to mount a tmpfs.

with small_disk(tmp_path / "disk") as disk:
    async with running(disk.path / "store") as node:
        crowded(node, disk)
        relieved(node, disk)
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from running import RunningNode

from mirror.store.space import Space

MIB = 1024 * 1024
BLOCK_BYTES = 4096
DISK_BYTES = 64 * MIB
MOUNT_S_MAX = 10.0


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A tmpfs, and on it a file of others that takes what room there is."""

    path: Path

    @property
    def free(self) -> int:
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def fill(self, leaving: int = 0) -> None:
        """Let nothing but some bytes be free."""
        ballast = os.open(self._ballast, os.O_WRONLY | os.O_CREAT)
        try:
            # By single blocks at the end: the node may write meanwhile.
            for step in (MIB, BLOCK_BYTES):
                while self.free >= leaving + step:
                    os.posix_fallocate(ballast, os.fstat(ballast).st_size, step)
        finally:
            os.close(ballast)

    def empty(self) -> None:
        """Give back what `fill` took."""
        self._ballast.unlink()

    @property
    def _ballast(self) -> Path:
        return self.path / "ballast"


@contextmanager
def small_disk(path: Path, size: int = DISK_BYTES) -> Iterator[SmallDisk]:
    """Mount a disk of `size` bytes at `path`. Skips where that is not permitted; leaves nothing behind."""
    path.mkdir()
    try:
        _run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path))
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a small disk cannot be mounted here: {error}")
    try:
        yield SmallDisk(path)
    finally:
        _run("umount", "--lazy", str(path))


def crowded(node: RunningNode, disk: SmallDisk, leaving: int = 0) -> None:
    """Fill the disk of a node, which sees it at once."""
    disk.fill(leaving)
    _space(node).look_again()


def relieved(node: RunningNode, disk: SmallDisk) -> None:
    """Make room on the disk of a node, which sees it at once."""
    disk.empty()
    _space(node).look_again()


def _space(node: RunningNode) -> Space:
    house = node.node._house
    assert house is not None
    return house.store.space


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, timeout=MOUNT_S_MAX)
