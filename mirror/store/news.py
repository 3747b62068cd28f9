"""News: tells those who follow the change log that it has grown, so that nobody has to look again and again."""

import asyncio


class News:
    """How far the log is known to reach. One object a store; all of it on the loop."""

    def __init__(self) -> None:
        # What a start finds in the log is no news: who follows it reads first, and waits where nothing is left.
        self._seq = 0
        self._grown = asyncio.Event()

    @property
    def seq(self) -> int:
        """The last change that is known to be committed, since this start."""
        return self._seq

    def tell(self, seq: int) -> None:
        """Say that the changes up to `seq` are committed."""
        self._seq = seq
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    async def wait(self, seq: int) -> None:
        """Wait until a change behind `seq` is committed; at once where it was before this was called."""
        while self._seq <= seq:
            await self._grown.wait()
