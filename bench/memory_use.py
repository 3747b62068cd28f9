"""How much memory a process has, watched while it works: at the start, at the end, and whether it still grows."""

import asyncio
import statistics
import time
from pathlib import Path
from typing import Final

from bench.content import MIB

LOOK_S: Final = 0.25
PAGE_BYTES: Final = 4096


class Memory:
    """The resident memory of a process: `seen` has (monotonic seconds, bytes)."""

    def __init__(self, pid: int) -> None:
        self._statm = Path(f"/proc/{pid}/statm")
        self.seen: list[tuple[float, int]] = []
        self.look()

    def look(self) -> None:
        self.seen.append((time.monotonic(), int(self._statm.read_text().split()[1]) * PAGE_BYTES))

    async def watch(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()

    def slope_mib_min(self) -> float:
        """Return by how much it grows in the second half, by least squares, in MiB a minute."""
        times, sizes = zip(*self.seen[len(self.seen) // 2 :], strict=True)
        return statistics.linear_regression(times, sizes).slope * 60 / MIB

    def rows(self) -> list[tuple[str, str]]:
        sizes = [size / MIB for _, size in self.seen]
        return [
            ("RSS MiB at the start", f"{sizes[0]:.0f}"),
            ("RSS MiB at the end", f"{sizes[-1]:.0f}"),
            ("RSS MiB at most", f"{max(sizes):.0f}"),
            ("RSS MiB a minute in the second half", f"{self.slope_mib_min():+.1f}"),
        ]
