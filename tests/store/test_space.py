"""The room on a disk: what is promised, what is left, and the reserve that clean-up is given."""

import asyncio
from pathlib import Path

import pytest
from disks import MIB, SmallDisk, small_disk

from mirror.oci.errors import StorageFull
from mirror.store.reserve import RESERVE_BYTES, Reserve
from mirror.store.space import LOOK_S, Space


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def space_on(disk: SmallDisk, clock: Clock) -> Space:
    return Space(disk.path, clock, spare_bytes=2 * MIB)


async def test_what_is_promised_is_not_promised_twice(tmp_path: Path) -> None:
    """Issue 5, section 2: a fill is held against the free space less what fills under way still need."""
    clock = Clock()
    with small_disk(tmp_path / "disk", 16 * MIB) as disk:
        space = space_on(disk, clock)
        await space.take(10 * MIB)
        with pytest.raises(StorageFull, match=f"{6 * MIB} bytes are asked for, {4 * MIB} are free"):
            await space.take(6 * MIB)
        await space.take(3 * MIB)
        # At the next look only what somebody still claims counts.
        unwritten = [5 * MIB]
        space.claims.append(lambda: unwritten[0])
        clock.now += LOOK_S
        await space.take(8 * MIB)
        with pytest.raises(StorageFull):
            await space.take(2 * MIB)


async def test_the_disk_is_asked_once_a_second_or_when_room_was_made(tmp_path: Path) -> None:
    """Issue 5, section 2: statvfs at most once a second."""
    clock = Clock()
    with small_disk(tmp_path / "disk", 16 * MIB) as disk:
        space = space_on(disk, clock)
        await space.take(0)
        disk.fill()
        await space.take(MIB)
        assert not space.is_full
        clock.now += LOOK_S
        with pytest.raises(StorageFull):
            await space.take(0)
        assert space.is_full
        disk.empty()
        with pytest.raises(StorageFull):
            await space.take(0)
        space.look_again()
        await space.take(MIB)


async def test_the_spare_is_never_promised(tmp_path: Path) -> None:
    """RELIABILITY G12: names must find room when bytes do not."""
    with small_disk(tmp_path / "disk", 16 * MIB) as disk:
        disk.fill(leaving=2 * MIB)
        with pytest.raises(StorageFull, match="0 bytes are asked for, 0 are free"):
            await space_on(disk, Clock()).take(0)


def test_the_reserve_takes_its_room_at_once_and_gives_it_back(tmp_path: Path) -> None:
    """RELIABILITY finding 8: a reserve file to give back."""
    with small_disk(tmp_path / "disk", 4 * RESERVE_BYTES) as disk:
        reserve = Reserve(disk.path)
        free = disk.free
        assert reserve.make()
        assert free - disk.free == RESERVE_BYTES
        assert Reserve(disk.path).held
        disk.fill()
        assert (reserve.give_up(), reserve.held, reserve.spent) == (True, False, True)
        assert disk.free == RESERVE_BYTES
        assert not reserve.give_up()


def test_the_reserve_is_made_again_only_where_it_leaves_as_much(tmp_path: Path) -> None:
    """What is left is for clean-up until there is room for both."""
    with small_disk(tmp_path / "disk", 4 * RESERVE_BYTES) as disk:
        reserve = Reserve(disk.path)
        reserve.make()
        disk.fill()
        reserve.give_up()
        assert not reserve.make()
        assert reserve.spent
        disk.empty()
        assert reserve.make()
        assert not reserve.spent


def test_a_start_on_a_full_disk_has_the_room_of_the_reserve(tmp_path: Path) -> None:
    """RELIABILITY 3.1, "Start-up": the log is replayed before anything is served."""
    with small_disk(tmp_path / "disk", 4 * RESERVE_BYTES) as disk:
        Reserve(disk.path).make()
        disk.fill()
        reserve = Reserve(disk.path)
        reserve.lend()
        assert disk.free == RESERVE_BYTES
        assert not reserve.spent


async def test_many_ask_at_once_and_the_disk_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DESIGN section 5: nothing waits for a disk that has just answered."""
    asked: list[Path] = []

    def look(root: Path) -> int:
        asked.append(root)
        return 100

    monkeypatch.setattr("mirror.store.space.free_bytes", look)
    space = Space(tmp_path, spare_bytes=0)
    done = await asyncio.gather(*(space.take(30) for _ in range(5)), return_exceptions=True)
    assert [type(one) for one in done].count(StorageFull) == 2
    assert asked == [tmp_path]


async def test_a_look_that_began_before_room_was_made_holds_for_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 5, section 2: pushes go on when there is room; what a slow look saw before is no reason to refuse them."""
    asked, seen = asyncio.Event(), asyncio.Event()
    free, loop = [0], asyncio.get_running_loop()

    def slow(_: Path) -> int:
        found = free[0]
        loop.call_soon_threadsafe(asked.set)
        asyncio.run_coroutine_threadsafe(seen.wait(), loop).result(10.0)
        return found

    monkeypatch.setattr("mirror.store.space.free_bytes", slow)
    space = Space(tmp_path, Clock(), spare_bytes=0)
    refused = asyncio.create_task(space.take(1), name="refused")
    await asked.wait()
    free[0] = MIB
    space.look_again()
    seen.set()
    with pytest.raises(StorageFull):
        await refused
    await space.take(1)
