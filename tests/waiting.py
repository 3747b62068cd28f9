"""Waiting for what no event tells of: looking again and again, for so long and no longer."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

WAIT_S_MAX: Final = 10.0


async def until(look: Callable[[], Awaitable[Any]], wait_s_max: float = WAIT_S_MAX) -> Any:
    """Look until there is something to see, and return it."""
    async with asyncio.timeout(wait_s_max):
        while not (found := await look()):
            await asyncio.sleep(0.01)
        return found


def file_sizes(root: Path) -> Iterator[int]:
    """How large the files under `root` are, which a living node moves and removes meanwhile."""
    for folder, _, names in os.walk(root):
        for name in names:
            with suppress(FileNotFoundError):
                yield os.lstat(os.path.join(folder, name)).st_size
