"""The change log is bounded: what is old goes, oldest first; what a start needs stays."""

from collections.abc import AsyncIterator

import pytest
from registries import HOME

from mirror.oci.names import Repository
from mirror.store import pruning
from mirror.store.changelog import last_seq, read_changes
from mirror.store.store import Store

DAY = 86_400.0
NOW = 1_700_000_000.0


@pytest.fixture
async def store(root) -> AsyncIterator[Store]:
    async with root.open() as opened:
        yield opened


async def make(store: Store, *times: float) -> None:
    """Make a repository at each time: one change each."""
    for number, at in enumerate(times):
        await store.catalog.create_repository(Repository(HOME, "", f"team/app{at:.0f}-{number}"), b"{}", at)


async def times(store: Store) -> list[float]:
    return [change.at for change in await read_changes(store.database, 0, 1_000)]


async def test_what_is_older_than_wanted_goes_and_the_newest_stay(store: Store, monkeypatch) -> None:
    """Issue 5: a node runs for years. A start replays from the newest changes, so some stay whatever their age."""
    monkeypatch.setattr(pruning, "KEPT_MIN", 2)
    await make(store, NOW - 3 * DAY, NOW - 2 * DAY, NOW - 2 * DAY, NOW - 2 * DAY)
    seq = await last_seq(store.database)
    assert await store.pruning.prune(NOW - 1 * DAY) == 2
    assert await store.pruning.prune(NOW - 1 * DAY) == 0
    assert await times(store) == [NOW - 2 * DAY, NOW - 2 * DAY]
    assert await last_seq(store.database) == seq
    store.index.check_built(seq)


async def test_the_log_has_no_hole_where_a_clock_was_set_back(store: Store, monkeypatch) -> None:
    """mirror/README.md, the change log: consumers read on from where they were."""
    monkeypatch.setattr(pruning, "KEPT_MIN", 0)
    await make(store, NOW - 3 * DAY, NOW, NOW - 3 * DAY, NOW)
    assert await store.pruning.prune(NOW - 1 * DAY) == 1
    assert await times(store) == [NOW, NOW - 3 * DAY, NOW]


async def test_a_transaction_removes_a_batch(store: Store, monkeypatch) -> None:
    """STYLE: every buffer has a limit; pushes wait for no long transaction."""
    monkeypatch.setattr(pruning, "KEPT_MIN", 0)
    monkeypatch.setattr(pruning, "BATCH_MAX", 2)
    await make(store, *(NOW - 2 * DAY for _ in range(5)))
    assert [await store.pruning.prune(NOW) for _ in range(4)] == [2, 2, 1, 0]
    assert await times(store) == []
