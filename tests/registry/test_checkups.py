"""Checkups: what is found is told as it is found, and counted; what ends one early is said."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from running import running
from stores import AT, OURS, opened
from waiting import until

from mirror.oci.digest import digest_of
from mirror.registry import checkups as checkups_module
from mirror.registry.checkups import Checkups, Counts, Found
from mirror.store.entries import blob_entry
from mirror.store.examination import Fault

DATA = [bytes([mark]) * 70_000 for mark in b"ab"]


def spawn(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(work, name=name)


class Healing:
    """Says of everything that it is lost, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    async def mend(self, fault: Fault) -> str:
        if self._error is not None:
            raise self._error
        return "lost"


@pytest.mark.parametrize(
    ("repair", "error", "counts", "outcomes"),
    [
        (False, None, Counts(2, 2, 140_000, harmful=2, failure=""), ["", ""]),
        (True, None, Counts(2, 2, 140_000, harmful=2, lost=2, failure=""), ["lost", "lost"]),
        (True, OSError("no disk"), Counts(2, 0, 70_000, failure="no disk"), []),
    ],
)
async def test_faults_are_told_and_counted(
    tmp_path: Path, repair: bool, error: Exception | None, counts: Counts, outcomes: list[str]
) -> None:
    """Issue section "Integrity": `mirror verify [--repair]` ; one that broke off is not good."""
    healing: Any = Healing(error)
    async with opened(tmp_path) as store:
        for data in DATA:
            await asyncio.to_thread(store.files.write, digest_of(data), data)
            await store.catalog.link_blob(OURS, digest_of(data), len(data), "", AT, blob=blob_entry(data))
            store.files.path(digest_of(data)).write_bytes(b"x" * len(data))
        checkup = Checkups(store, healing, spawn).begin(repair=repair)
        assert checkup.counts.failure, "it is not at its end"
        await checkup.task
        found = [checkup.found.get_nowait() for _ in range(checkup.found.qsize())]
        digests = sorted(map(digest_of, DATA), key=lambda digest: digest.key())
        told = [Found(str(digest), "wrong bytes", outcome) for digest, outcome in zip(digests, outcomes, strict=False)]
        assert found == [*told, None]
        assert checkup.counts == counts


async def test_who_goes_away_stops_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No request owns work that outlives it."""
    monkeypatch.setattr("mirror.web.administration.checkups.BEAT_S", 0.05)

    class Endless:
        def __init__(self, *_: object) -> None:
            """Takes what the real one does."""

        async def faults(self, _: object) -> AsyncIterator[Fault]:
            yield Fault("wrong bytes", digest_of(b"one"))
            await asyncio.Event().wait()

    monkeypatch.setattr(checkups_module, "Verification", Endless)
    async with running(tmp_path):
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(tmp_path / "admin.sock"))) as session:
            request = session.post("http://node/store", json={"operation": "verify"})
            with suppress(aiohttp.ClientError):
                async with request as response:
                    assert b'"wrong bytes"' in await response.content.readline()
                    assert b'"moving"' in await response.content.readline()
                    assert [task for task in asyncio.all_tasks() if task.get_name() == "checkup"]

        async def has_stopped() -> bool:
            return all(task.get_name() != "checkup" for task in asyncio.all_tasks())

        await until(has_stopped)
