"""A cap on the memory of one process and what it starts: a control group of its own, below the one that we are in.

Source: docs.kernel.org, admin-guide, cgroup-v1/memory and cgroup-v2. Page cache and socket buffers count as well, so
the usage is near the cap whatever the process does; what matters is that nothing is killed. Where no group can be made
(`made` is False) the process runs uncapped, and its resident memory has to say enough.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MOUNT: Final = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Files:
    """What a version of control groups calls its files; each event is a line of a word and a number."""

    limit: str
    events: str


V1: Final = Files("memory.limit_in_bytes", "memory.oom_control")
V2: Final = Files("memory.max", "memory.events")


@dataclass(frozen=True, slots=True)
class Cap:
    """A group, if it could be made."""

    folder: Path
    files: Files
    made: bool

    def command(self, words: Sequence[str]) -> list[str]:
        """Return the command that runs another one within the cap."""
        if not self.made:
            return list(words)
        return ["sh", "-c", 'echo $$ >"$0" && exec "$@"', str(self.folder / "cgroup.procs"), *words]

    def kills(self) -> int | None:
        """Count the processes that were killed for want of memory; None where there is no cap."""
        if not self.made:
            return None
        lines = (self.folder / self.files.events).read_text().splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


@contextmanager
def capped(size: int) -> Iterator[Cap]:
    """Make a group that may use `size` bytes; it is removed at the end, when nothing may run in it any more."""
    folder, files = _place()
    made = False
    try:
        folder.mkdir()
        (folder / files.limit).write_text(str(size))
        made = True
    except OSError:
        pass  # not ours to make, or without the memory controller
    try:
        yield Cap(folder, files, made)
    finally:
        if folder.is_dir():
            folder.rmdir()


def _place() -> tuple[Path, Files]:
    """Say where a group of ours would be: /proc/self/cgroup has lines of number, controllers and path."""
    own = {kind: path for _, kind, path in (line.split(":", 2) for line in _lines())}
    name = f"mirror-bench-{os.getpid()}"
    if "memory" in own:
        return MOUNT / "memory" / own["memory"].lstrip("/") / name, V1
    return MOUNT / own.get("", "/").lstrip("/") / name, V2


def _lines() -> list[str]:
    return Path("/proc/self/cgroup").read_text().splitlines()
