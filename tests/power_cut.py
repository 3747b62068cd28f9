"""A real ext4 on a disk that records its writes, and what a power cut at any moment may have left of it.

async with recorded(tmp_path) as disk:
    ...                                 # work in disk.root; disk.mark(n) after the nth promise that was made
for state in disk.states(10, dice):
    with state.mounted() as root: ...   # what is there after the cut; promises up to state.marks were made before it

A disk may lose what it was given after its last flush: all, none, some writes, or some of their sectors. What was
flushed it keeps. The filesystem commits by itself only once in a thousand seconds: its clock saves nobody.
"""

import asyncio
import os
import random
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import pytest
from recorder import FLUSH, MARK, RECORD, WRITE

DISK_BYTES = 256 * 1024 * 1024
SECTOR_BYTES = 512
KEPT_SECTORS = 0.7  # of a torn write
OPTIONS = "loop,commit=1000,nodiscard,noatime"
END_S_MAX = 20.0

Left = Literal["nothing", "all", "some", "torn"]  # of what was not flushed
LEFT: tuple[Left, ...] = ("nothing", "all", "some", "torn")


class Record(NamedTuple):
    """A line of the log: where a write went, or the number of a mark; where its bytes are in the log."""

    kind: int
    number: int
    start: int
    size: int


@dataclass
class RecordedDisk:
    """A disk in `directory`, mounted at `root` while it is recorded."""

    directory: Path
    promised: int = 0
    log: bytes = field(default=b"", repr=False)
    records: list[Record] = field(default_factory=list, repr=False)

    @property
    def root(self) -> Path:
        return self.directory / "root"

    def mark(self, number: int) -> None:
        """Say that a promise was made: what kept it must be on the disk by now."""
        (self.directory / "fuse" / "mark").write_text(str(number))
        self.promised = number

    def read_log(self) -> None:
        self.log = (self.directory / "log").read_bytes()
        at = 0
        while at < len(self.log):
            kind, number, size = RECORD.unpack_from(self.log, at)
            at += RECORD.size
            self.records.append(Record(kind, number, at, size))
            at += size

    def states(self, count: int, dice: random.Random) -> Iterator["State"]:
        """Cut the power `count` times, between the first promise and the last: right behind one half of the times."""
        marks = [at for at, record in enumerate(self.records) if record.kind == MARK]
        disk = self.directory / "cut"
        _copy(self.directory / "empty", disk)
        done = 0
        somewhere = [dice.randrange(marks[0] + 1, marks[-1]) for _ in range(count - count // 2)]
        behind = [at + 1 for at in dice.sample(marks, count // 2)]
        for cut in sorted(somewhere + behind):
            flushed = max((at for at in range(cut) if self.records[at].kind == FLUSH), default=0)
            with disk.open("r+b", buffering=0) as file:
                for record in self.records[done:flushed]:
                    self._write(file.fileno(), record)
            done = max(done, flushed)
            promised = max(record.number for record in self.records[:cut] if record.kind == MARK)
            yield self._left(disk, self.records[flushed:cut], promised, dice)

    def _left(self, disk: Path, pending: list[Record], promised: int, dice: random.Random) -> "State":
        left = dice.choice(LEFT)
        torn = self.directory / "torn"
        _copy(disk, torn)
        with torn.open("r+b", buffering=0) as file:
            for record in pending:
                if left == "nothing" or (left in ("some", "torn") and dice.random() < 0.5):
                    continue
                self._write(file.fileno(), record, dice if left == "torn" else None)
        return State(torn, self.directory / "after", promised, left)

    def _write(self, descriptor: int, record: Record, dice: random.Random | None = None) -> None:
        if record.kind != WRITE:
            return
        step = SECTOR_BYTES if dice else record.size
        for offset in range(0, record.size, step):
            if dice is None or dice.random() < KEPT_SECTORS:
                data = self.log[record.start + offset : record.start + min(offset + step, record.size)]
                os.pwrite(descriptor, data, record.number + offset)


@dataclass(frozen=True)
class State:
    """What is on the disk after a power cut; `marks` is the last promise before it."""

    image: Path
    place: Path
    marks: int
    left: Left

    @contextmanager
    def mounted(self) -> Iterator[Path]:
        """Mount it, as the system does when the power is back: the filesystem replays its journal."""
        self.place.mkdir(exist_ok=True)
        with ExitStack() as stack:
            _run("mount", "-t", "ext4", "-o", OPTIONS, self.image, self.place)
            stack.callback(_run, "umount", self.place)
            yield self.place


def skip_without_disks() -> None:
    """Skip the test where no disk can be made."""
    if os.geteuid() != 0:
        pytest.skip("mounting a disk takes root")
    for program in ("mkfs.ext4", "mount", "umount"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    for device in ("/dev/fuse", "/dev/loop-control"):
        if not os.access(device, os.R_OK | os.W_OK):
            pytest.skip(f"there is no {device}")


@asynccontextmanager
async def recorded(directory: Path) -> AsyncIterator[RecordedDisk]:
    """Record what is done to a new disk in the block; then its log is read. Skips where this cannot be done."""
    skip_without_disks()
    disk = RecordedDisk(directory)
    async with AsyncExitStack() as stack:
        await asyncio.to_thread(_make, disk)
        recorder = await asyncio.create_subprocess_exec(
            *(sys.executable, Path(__file__).with_name("recorder.py")),
            *(directory / name for name in ("disk", "log", "fuse")),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        stack.push_async_callback(_ended, recorder)
        assert recorder.stdout is not None and recorder.stderr is not None
        if not await recorder.stdout.readline():
            pytest.skip(f"no disk can be recorded here: {(await recorder.stderr.read()).decode()[-200:]}")
        stack.push_async_callback(asyncio.to_thread, _run, "umount", "--lazy", directory / "fuse")
        try:
            await asyncio.to_thread(_run, "mount", "-t", "ext4", "-o", OPTIONS, directory / "fuse" / "disk", disk.root)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no disk can be mounted here: {error.stderr[-200:]}")
        stack.push_async_callback(asyncio.to_thread, _run, "umount", disk.root)
        yield disk
    await asyncio.to_thread(disk.read_log)


def _make(disk: RecordedDisk) -> None:
    for name in ("root", "fuse"):
        (disk.directory / name).mkdir()
    with (disk.directory / "empty").open("wb") as file:
        file.truncate(DISK_BYTES)
    _run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", disk.directory / "empty")
    _copy(disk.directory / "empty", disk.directory / "disk")


async def _ended(recorder: asyncio.subprocess.Process) -> None:
    try:
        await asyncio.wait_for(recorder.wait(), END_S_MAX)
    except TimeoutError:
        recorder.kill()
        await recorder.wait()


def _copy(source: Path, target: Path) -> None:
    _run("cp", "--sparse=always", source, target)


def _run(*words: str | Path) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True)
