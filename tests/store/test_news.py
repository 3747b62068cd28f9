"""News: nobody waits for what has happened, and everybody hears of what happens."""

import asyncio

from mirror.store.news import News


async def test_what_was_told_already_is_not_waited_for() -> None:
    """A change that is committed between a look at the log and the waiting must not be slept through."""
    news = News()
    news.tell(3)
    await asyncio.wait_for(news.wait(2), 1.0)


async def test_all_who_wait_hear_of_it_and_of_no_less_than_they_wait_for() -> None:
    news, heard = News(), []

    async def wait(seq: int) -> None:
        await news.wait(seq)
        heard.append(seq)

    async with asyncio.TaskGroup() as group:
        for seq in (0, 0, 4):
            group.create_task(wait(seq), name="waiting")
        await asyncio.sleep(0)
        news.tell(4)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert heard == [0, 0]
        news.tell(5)
    assert heard == [0, 0, 4]
