"""One question for many askers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from mirror.oci.errors import UpstreamError
from mirror.registry.flights import Flights

WAIT_S_MAX = 5.0


class Upstream:
    """Answers when told to, and counts who asks."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> str:
        self.asked += 1
        await self.answer.wait()
        if self.error is not None:
            raise self.error
        return f"answer {self.asked}"


@asynccontextmanager
async def flights() -> AsyncIterator[Flights]:
    async with asyncio.timeout(WAIT_S_MAX), asyncio.TaskGroup() as group:
        yield Flights(lambda work, name: group.create_task(work, name=name))


async def _under_way(count: int, joined: Flights, upstream: Upstream) -> list[asyncio.Task[str]]:
    tasks = [asyncio.ensure_future(joined.join("tag", upstream)) for _ in range(count)]
    while not upstream.asked:
        await asyncio.sleep(0)
    return tasks


async def test_a_thousand_askers_are_one_question() -> None:
    """RELIABILITY G6: one upstream call for N callers."""
    upstream = Upstream()
    async with flights() as joined:
        askers = await _under_way(1000, joined, upstream)
        upstream.answer.set()
        assert set(await asyncio.gather(*askers)) == {"answer 1"}
        assert upstream.asked == 1


async def test_an_asker_who_leaves_stops_nothing() -> None:
    """RELIABILITY G6: the first caller leaving does not stop the question."""
    upstream = Upstream()
    async with flights() as joined:
        first, second = await _under_way(2, joined, upstream)
        first.cancel()
        await asyncio.wait({first})
        upstream.answer.set()
        assert await second == "answer 1"


async def test_all_askers_are_told_what_went_wrong_and_the_next_one_asks_anew() -> None:
    """RELIABILITY section 4: an error is not remembered as an answer."""
    upstream = Upstream()
    upstream.error = UpstreamError("not today")
    async with flights() as joined:
        askers = await _under_way(3, joined, upstream)
        upstream.answer.set()
        ends = await asyncio.gather(*askers, return_exceptions=True)
        assert all(isinstance(end, UpstreamError) for end in ends)
        upstream.error = None
        assert await joined.join("tag", upstream) == "answer 2"


async def test_an_error_that_nobody_waits_for_harms_nobody() -> None:
    """All askers may have left: the error is seen and dropped, not logged as never retrieved."""
    upstream = Upstream()
    upstream.error = UpstreamError("not today")
    async with flights() as joined:
        (asker,) = await _under_way(1, joined, upstream)
        asker.cancel()
        upstream.answer.set()


async def test_different_questions_do_not_wait_for_each_other() -> None:
    """A flight is found by its whole key."""
    one, other = Upstream(), Upstream()
    async with flights() as joined:
        waiting = await _under_way(1, joined, one)
        other.answer.set()
        assert await joined.join("other tag", other) == "answer 1"
        one.answer.set()
        await asyncio.gather(*waiting)


async def test_a_node_that_stops_leaves_no_asker_waiting() -> None:
    """DESIGN section 5: no wait without an end."""
    upstream = Upstream()
    tasks: list[asyncio.Task[None]] = []

    def spawn(work: object, name: str) -> asyncio.Task[None]:
        tasks.append(asyncio.ensure_future(work))  # type: ignore[arg-type] # it is a coroutine
        return tasks[-1]

    (asker,) = await _under_way(1, Flights(spawn), upstream)
    tasks[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asker, WAIT_S_MAX)
