"""Questions about many digests: the driver keeps 128 statements a connection, so their number is bounded."""

from pathlib import Path
from typing import Any

import pytest
from registries import HOME
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine
from stores import opened

from mirror.oci.digest import digest_of
from mirror.oci.names import Repository
from mirror.store.collection import judge
from mirror.store.rows import LISTED_MAX, listed

OURS = Repository(HOME, "", "team/app")
MANY = 100
FEW = 2 * 8 + 1  # two questions, by the powers of two up to 128, and BEGIN
DIGESTS = [digest_of(str(number).encode()) for number in range(MANY)]


def heard(engine: AsyncEngine) -> set[str]:
    """The texts of all that is asked from now on."""
    texts: set[str] = set()
    event.listen(engine.sync_engine, "before_cursor_execute", lambda *given: texts.add(str(given[2])))
    return texts


async def test_a_question_about_any_number_of_blobs_is_one_of_few_statements(tmp_path: Path) -> None:
    """RELIABILITY G13: memory is bounded. A prepared statement with a hundred digests takes 40 KB."""
    async with opened(tmp_path) as store:
        engine: Any = store.database._readers
        for ask in (_judge, _find):
            texts = heard(engine)
            for count in range(1, MANY):
                await ask(store, count)
            assert len(texts) <= FEW, ask.__name__


@pytest.mark.parametrize("count", [0, 1, 2, 3, 100, LISTED_MAX, LISTED_MAX + 1])
def test_a_list_that_is_filled_up_has_the_same_values(count: int) -> None:
    """sqlite.org/limits.html: a list that is long already is not made longer."""
    values = [str(number) for number in range(count)]
    assert dict.fromkeys(listed(values)) == dict.fromkeys(values)
    assert len(listed(values)) <= max(count, LISTED_MAX)


async def _judge(store: Any, count: int) -> None:
    async with store.database.read() as connection:
        verdict = await judge(connection, DIGESTS[:count], 0.0)
    assert verdict.unneeded == frozenset(DIGESTS[:count])


async def _find(store: Any, count: int) -> None:
    assert await store.images.find(OURS, DIGESTS[:count]) == {}
