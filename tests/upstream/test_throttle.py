"""The cap on bytes a second: held over each moment, shared, and within a wider one."""

import asyncio

import pytest

from mirror.upstream.throttle import PIECE_BYTES_MAX, SAVED_S, Throttle


class Clock:
    """A loop's clock that is moved by sleeping alone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now, raising=False)
        monkeypatch.setattr("mirror.upstream.throttle.asyncio.sleep", self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def test_a_cap_holds_within_a_tenth(clock: Clock) -> None:
    """Issue 4, section 4: bandwidth cap held within 10 %; also after an hour in which nothing was sent."""
    throttle, started_at = Throttle(1_000_000), clock.now
    for _ in range(100):
        await throttle.take(throttle.piece_bytes)
    taken = 100 * throttle.piece_bytes
    assert taken / (clock.now - started_at) == pytest.approx(1_000_000, rel=0.1)
    clock.now += 3_600
    started_at = clock.now
    await throttle.take(1_000_000)
    assert clock.now - started_at == pytest.approx(1.0 - SAVED_S)


async def test_the_wider_cap_holds_for_all_together(clock: Clock) -> None:
    """Issue 4, section 1: a global cap."""
    outer = Throttle(1_000_000)
    first, second = Throttle(0, outer), Throttle(900_000, outer)
    started_at = clock.now
    for _ in range(20):
        await first.take(100_000)
        await second.take(100_000)
    assert 4_000_000 / (clock.now - started_at) == pytest.approx(1_000_000, rel=0.1)


async def test_without_a_cap_nothing_waits(clock: Clock) -> None:
    """The default: as many bytes as there are."""
    throttle, started_at = Throttle(0, Throttle(0)), clock.now
    await throttle.take(10**12)
    assert clock.now == started_at
    assert throttle.piece_bytes == PIECE_BYTES_MAX


async def test_a_small_cap_takes_small_pieces(clock: Clock) -> None:
    """A piece that took seconds would look like a stall to whoever receives it."""
    assert Throttle(40_000).piece_bytes == 10_000
    assert Throttle(0, Throttle(40_000)).piece_bytes == 10_000
