"""Space: how many more bytes the disk of the store takes, and who counts on them already.

Source: RELIABILITY G12 and section 4, "Disk full". Fills and pushes leave SPARE_BYTES, so that there is room to write
names when there is none for bytes. The disk is asked at most once a second.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mirror.oci.errors import StorageFull, Unavailable
from mirror.store.disk import disk_room

SPARE_BYTES: Final = 16 * 1024 * 1024  # SQL's log takes 4 MiB, a full batch of the index some more, manifests the rest
LOOK_S: Final = 1.0
LOOK_S_MAX: Final = 10.0  # statvfs answers from memory: after this the disk hangs

Claim = Callable[[], int]  # how many bytes somebody has been promised and not written yet


class Space:
    """The room on the disk that has `root`. Who is promised room for long adds to `claims`."""

    def __init__(self, root: Path, clock: Callable[[], float] = time.monotonic, spare_bytes: int = SPARE_BYTES) -> None:
        self.claims: list[Claim] = []
        self.is_full = False  # when it was looked at last
        self._root = root
        self._clock = clock
        self._spare_bytes = spare_bytes
        self._looking = asyncio.Lock()
        self._left = 0
        self._until = float("-inf")
        self._looks = 0

    async def take(self, size: int) -> None:
        """Count on room for `size` more bytes; of 0 bytes: on any room. Raises StorageFull, Unavailable."""
        if self._clock() >= self._until:
            await self._look()
        if size >= self._left:
            raise StorageFull(
                f"no room left on the disk of this registry: {size} bytes are asked for, {max(0, self._left)} are free"
            )
        self._left -= size

    def look_again(self) -> None:
        """Say that room was made: the next who asks has the disk asked, whatever a look under way will say."""
        self._until = float("-inf")
        self._looks += 1

    async def _look(self) -> None:
        """See how many bytes nobody counts on. What is promised from now on is taken off of that until the next look.

        Raises Unavailable when the disk does not answer.
        """
        try:
            async with asyncio.timeout(LOOK_S_MAX), self._looking:
                if self._clock() < self._until:
                    return
                claimed, looks = sum(claim() for claim in self.claims), self._looks
                self._left = await asyncio.to_thread(free_bytes, self._root) - self._spare_bytes - claimed
                if looks == self._looks:
                    self._until = self._clock() + LOOK_S
                self.is_full = self._left <= 0
        except TimeoutError:
            raise Unavailable("the disk of this registry does not answer") from None


def free_bytes(root: Path) -> int:
    """Return how many bytes may still be written, by who is not root, to the disk that has `root`. Blocks."""
    return disk_room(root)[0]
