"""Pacing: what no client waits for gives way to what clients wait for, and is theirs as soon as they want it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from filling import DATA, Source, Work, chunks

from mirror.registry import pacing
from mirror.registry.pacing import Clients, Pace
from mirror.upstream.throttle import Throttle

TURNS = 20  # of the loop: what is ready to go on has gone on by then


class Cap(Throttle):
    """Lets all through, and counts."""

    def __init__(self) -> None:
        super().__init__(0)
        self.taken = 0

    async def take(self, count: int) -> None:
        self.taken += count


async def turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def three() -> AsyncIterator[bytes]:
    for chunk in (b"one", b"two", b"three"):
        yield chunk


async def test_the_background_gives_way_to_clients_and_goes_on_when_they_have_left() -> None:
    """Issue 4, section 3: in idle bandwidth, after what clients ask for."""
    clients = Clients()
    paced = Pace(clients, Cap()).chunks(three())
    assert await anext(paced) == b"one"
    clients.came()
    clients.came()
    following = asyncio.ensure_future(anext(paced))
    await turns()
    clients.left()
    await turns()
    assert not following.done()
    clients.left()
    assert await following == b"two"


async def test_a_pause_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """No upstream must call it a stall, and nothing starves for ever."""
    monkeypatch.setattr(pacing, "PAUSE_S_MAX", 0.0)
    clients = Clients()
    clients.came()
    assert [chunk async for chunk in Pace(clients, Cap()).chunks(three())] == [b"one", b"two", b"three"]


async def test_what_a_client_wants_goes_on_at_once_and_waits_for_nothing_more() -> None:
    """As soon as a client joins a fill, it is the client's."""
    clients = Clients()
    pace = Pace(clients, Throttle(1))
    clients.came()
    paced = pace.chunks(three())
    first = asyncio.ensure_future(anext(paced))
    await turns()
    assert not first.done()
    pace.hurry()
    assert await first == b"one"
    assert [chunk async for chunk in paced] == [b"two", b"three"]


async def test_a_fill_in_the_background_takes_all_its_bytes_from_the_cap(tmp_path: Path) -> None:
    """Issue 4, section 1, "Limits": a bandwidth cap; of a client's fill nothing is taken."""
    cap = Cap()
    work = Work(tmp_path / "staged")
    _, running = work.begin(Source(chunks), pace=Pace(Clients(), cap))
    await running
    assert cap.taken == len(DATA)
    _, running = Work(tmp_path / "client").begin(Source(chunks))
    await running
    assert cap.taken == len(DATA)
