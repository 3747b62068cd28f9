"""A cap on bytes a second: a token bucket that all who send through it share.

Source: issue section "Limits". What is taken is given in the order of asking; a moment's worth may be saved up,
no more, so that the cap holds over each second and not only over an hour.
"""

import asyncio
from typing import Final

SAVED_S: Final = 0.1  # how much of unused bandwidth may be spent later
PIECE_S: Final = 0.25  # a piece takes no longer, so that nothing stalls and others have their turn
PIECE_BYTES_MIN: Final = 4 * 1024
PIECE_BYTES_MAX: Final = 1024 * 1024  # of a read, where nothing caps it


class Throttle:
    """A cap, within a wider one where there is one. `bytes_s` 0 is no cap of its own."""

    def __init__(self, bytes_s: int, outer: "Throttle | None" = None) -> None:
        self._bytes_s = bytes_s
        self._outer = outer
        self._free_at = 0.0  # loop time at which all that was taken so far is through

    @property
    def piece_bytes(self) -> int:
        """How many bytes to take at once."""
        own = PIECE_BYTES_MAX
        if self._bytes_s:
            own = max(PIECE_BYTES_MIN, min(own, int(self._bytes_s * PIECE_S)))
        return own if self._outer is None else min(own, self._outer.piece_bytes)

    async def take(self, count: int) -> None:
        """Wait until `count` bytes may go."""
        if self._bytes_s:
            now = asyncio.get_running_loop().time()
            self._free_at = max(self._free_at, now - SAVED_S) + count / self._bytes_s
            if self._free_at > now:
                await asyncio.sleep(self._free_at - now)
        if self._outer is not None:
            await self._outer.take(count)
