"""Probes on a real store, with real faults."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from stores import opened

from mirror.node import probes as module
from mirror.node.probes import FULL, Probes
from mirror.node.tasks import Tasks
from mirror.store.store import Store
from mirror.web.ops import Readiness

WELL = Readiness((), ())
WAIT_S_MAX = 10.0


@asynccontextmanager
async def probed(root: Path, is_stopping: Callable[[], bool] = lambda: False) -> AsyncIterator[tuple[Store, Probes]]:
    async with asyncio.TaskGroup() as group, opened(root) as store:
        yield store, Probes(store, Tasks(group).spawn, is_stopping)


@pytest.fixture
def nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FOUND_HOLDS_S", 0.0)


def lose_the_log(store: Store) -> None:
    with sqlite3.connect(store.files.root / "mirror.db") as connection:
        connection.execute("DROP TABLE changes")
    connection.close()


def lose_the_index(store: Store) -> None:
    store.index._environment.close()


def lose_the_directory(store: Store) -> None:
    shutil.rmtree(store.files.root / "stage" / "writes")


@pytest.mark.usefixtures("nothing_is_kept")
@pytest.mark.parametrize(
    ("lose", "said"),
    [
        (lose_the_log, "sql: the database cannot be read"),
        (lose_the_index, "index: the index cannot be read"),
        (lose_the_directory, "disk: the disk cannot be written"),
    ],
)
async def test_a_part_that_fails_is_named(
    lose: Callable[[Store], None], said: str, tmp_path: Path, events: list[Any]
) -> None:
    """Issue 5, section 4: /readyz is a loop over real probes; the reason is in the log, for /readyz is for anybody."""
    async with probed(tmp_path) as (store, probes):
        assert await probes.look() == WELL
        await asyncio.to_thread(lose, store)
        for _ in range(2):
            assert await probes.look() == Readiness((said,), ())
    (told,) = [event for event in events if event["event"] == "probe failed"]
    assert (told["found"], bool(told["reason"])) == (said, True)


@pytest.mark.usefixtures("nothing_is_kept")
async def test_a_disk_that_hangs_costs_one_thread_however_often_it_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DESIGN section 5: every wait has a timeout. Opening a pipe that nobody reads hangs as a lost disk does."""
    monkeypatch.setattr(module, "PROBE_S_MAX", 0.05)
    async with probed(tmp_path) as (store, probes):
        hanging = store.files.root / "stage" / "writes" / "probe"
        os.mkfifo(hanging)
        for _ in range(3):
            assert await probes.look() == Readiness(("disk: no answer within 0.05 s",), ())
        monkeypatch.setattr(module, "PROBE_S_MAX", WAIT_S_MAX)
        reading = os.open(hanging, os.O_RDWR)
        await probes.look()
        assert not hanging.exists(), "the one that hung has gone on, and there was no other to open the pipe"
        os.close(reading)
        assert await probes.look() == WELL


@pytest.mark.usefixtures("nothing_is_kept")
async def test_a_full_disk_is_told_and_no_reason_to_take_the_node_out(tmp_path: Path) -> None:
    """Issue 5, section 2: a full disk never breaks cached pulls, so neither a restart nor a 503 would help anybody."""
    async with probed(tmp_path) as (store, probes):
        writes = store.files.root / "stage" / "writes"
        mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(writes)]
        done = await asyncio.to_thread(subprocess.run, mount, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
        try:
            filled = writes / "filled"
            filled.write_bytes(bytes(16 * 1024))
            assert await probes.look() == Readiness((), (f"disk: {FULL}",))
            filled.unlink()
            assert await probes.look() == WELL
        finally:
            await asyncio.to_thread(subprocess.run, ["umount", str(writes)], check=True)


async def test_what_was_found_holds_for_a_moment_but_a_stop_is_said_at_once(tmp_path: Path) -> None:
    """/readyz is for anybody: who asks often must not make the node write as often."""
    is_stopping = False
    async with probed(tmp_path, lambda: is_stopping) as (store, probes):
        assert await asyncio.gather(*(probes.look() for _ in range(20))) == [WELL] * 20
        await asyncio.to_thread(lose_the_directory, store)
        assert await probes.look() == WELL
        is_stopping = True
        assert await probes.look() == Readiness(("stopping",), ())
