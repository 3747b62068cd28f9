"""The guard: which blobs are being written, being taken away, or were asked for lately. All of it on the loop.

Who writes a blob holds it until its name is committed; who takes blobs away takes what nobody holds. So a file that is
published is never the one that is removed, and what a client was told to be here stays for the grace time: it may be
about to push an image that names it, without sending it again.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from typing import Final

from mirror.oci.digest import Digest
from mirror.oci.errors import Unavailable

GRACE_S: Final = 3_600.0  # from a blob's being there for a client to the manifest that names it: the longest push
TAKEN_S_MAX: Final = 30.0  # a collection's commit takes milliseconds: after this the disk hangs
NOTED_MAX: Final = 200_000  # blobs asked for in a grace time, some 100 bytes each; above it nothing is taken


class PartsGone(Exception):
    """What a mutation counts on is not here any more."""

    def __init__(self, digests: Collection[Digest]) -> None:
        super().__init__(digests)
        self.digests = digests


class Guard:
    """Blobs that are held, taken and noted. One object a store; `clock` in monotonic seconds."""

    def __init__(self, grace_s: float = GRACE_S, clock: Callable[[], float] = time.monotonic) -> None:
        self.grace_s = grace_s
        self._clock = clock
        self._held: Counter[Digest] = Counter()
        self._taken: set[bytes] = set()  # digests by their keys, as the express lane has them
        self._released = asyncio.Event()
        self._lately: set[bytes] = set()
        self._before: set[bytes] = set()
        self._turned_at = self._watching_since = clock()

    @asynccontextmanager
    async def hold(self, digest: Digest) -> AsyncIterator[None]:
        """Keep a blob from being taken in the block: from before its file is published until it has a name.

        Raises Unavailable when the disk does not let go of it.
        """
        await self.free(digest)
        self._held[digest] += 1
        try:
            yield
        finally:
            self._held[digest] -= 1
            if not self._held[digest]:
                del self._held[digest]

    def is_held(self, digest: Digest) -> bool:
        """Tell whether somebody is writing a blob, or its name."""
        return digest in self._held

    async def free(self, digest: Digest) -> None:
        """Wait until nobody is taking a blob away: then the index says what is so. Raises Unavailable."""
        try:
            async with asyncio.timeout(TAKEN_S_MAX):
                while self.is_taken(digest.key()):
                    await self._released.wait()
        except TimeoutError:
            raise Unavailable(f"{digest} is being removed, and the disk does not answer") from None

    def is_taken(self, digest_key: bytes) -> bool:
        """Tell whether a blob, by its digest's key, is being taken away now."""
        return digest_key in self._taken

    def take(self, digest: Digest) -> bool:
        """Begin to take a blob away; False when it is held or was asked for lately. Not async: no await, so no race."""
        key = digest.key()
        if digest in self._held or self._spares(key):
            return False
        self._taken.add(key)
        return True

    def release(self, digests: Iterable[Digest]) -> None:
        """Say that blobs are gone, or stay after all."""
        self._taken.difference_update(digest.key() for digest in digests)
        released, self._released = self._released, asyncio.Event()
        released.set()

    # What clients were told.

    def note(self, digest_key: bytes) -> None:
        """Take note that somebody was told that a blob, by its digest's key, is here."""
        if len(self._lately) < NOTED_MAX:
            self._lately.add(digest_key)

    def turn(self) -> None:
        """Forget what was noted longer ago than the grace time. Now and then, by who takes blobs away."""
        elapsed_s = self._clock() - self._turned_at
        if elapsed_s < self.grace_s:
            return
        # What was noted a moment ago is kept for one more turn.
        self._before = self._lately if elapsed_s < 2 * self.grace_s else set()
        self._lately = set()
        self._turned_at = self._clock()

    @property
    def remembers(self) -> bool:
        """Tell whether all that clients were told within the grace time is noted: not right after a start."""
        return self._clock() - self._watching_since >= self.grace_s

    def serve_nobody(self) -> None:
        """Say that there are no clients whom anything could have been told: only an administrator asks."""
        self._watching_since = self._clock() - self.grace_s

    def _spares(self, key: bytes) -> bool:
        return len(self._lately) >= NOTED_MAX or key in self._lately or key in self._before
