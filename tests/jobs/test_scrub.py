"""The scrub: how it goes on after a restart, how fast it reads, when its next round is due, what it tells."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from stores import OURS, opened

from mirror.jobs import scrub
from mirror.jobs.scrub import BLOB_BYTES, NOTE, Pace, ScrubJob, State
from mirror.oci.digest import Digest, digest_of
from mirror.oci.errors import UpstreamError
from mirror.registry.healing import Outcome
from mirror.registry.pacing import Clients
from mirror.store.entries import blob_entry
from mirror.store.examination import Fault
from mirror.store.store import Store
from mirror.telemetry import exposition

NOW = 1_800_000_000.0
WEEK_S = 7 * 86_400.0
FAST = 2**40  # bytes a second: no cap that is felt
DATA = [Random(number).randbytes(70_000) for number in range(6)]


class Healing:
    """Takes note of what it is told; `outcome` is what it says came of it."""

    def __init__(self, outcome: Outcome | Exception = "healed") -> None:
        self.outcome = outcome
        self.mended: list[Fault] = []
        self.healed: list[Digest] = []

    def _said(self) -> Outcome:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    async def mend(self, fault: Fault) -> Outcome:
        self.mended.append(fault)
        return self._said()

    async def heal(self, digest: Digest) -> Outcome:
        self.healed.append(digest)
        return self._said()


def job_of(store: Store, healing: Healing, bytes_s: int = FAST, clock: Callable[[], float] = lambda: NOW) -> ScrubJob:
    return ScrubJob(store, healing, Clients(), bytes_s, Pace(0.0, 0.0, WEEK_S), clock)


async def put(store: Store, *blobs: bytes) -> list[Digest]:
    """Put blobs of our own; return their digests in the order in which the scrub comes by."""
    for data in blobs:
        await asyncio.to_thread(store.files.write, digest_of(data), data)
        await store.catalog.link_blob(OURS, digest_of(data), len(data), "", NOW, blob=blob_entry(data))
    return sorted(map(digest_of, blobs), key=Digest.key)


def spoil(store: Store, digest: Digest) -> None:
    path = store.files.path(digest)
    path.write_bytes(b"x" * path.stat().st_size)


async def test_a_round_finds_each_damaged_and_each_missing_blob(tmp_path: Path) -> None:
    """Issue section "Integrity": also what is in no index any more, but a repository of our own names it."""
    healing = Healing()
    async with opened(tmp_path) as store:
        wrong, gone, unknown, fine = await put(store, *DATA[:4])
        spoil(store, wrong)
        store.files.path(gone).unlink()
        store.files.path(unknown).unlink()
        await store.index.drop_blob(unknown)
        job = job_of(store, healing)
        await job.look()
        assert [(fault.kind, fault.digest) for fault in healing.mended] == [
            ("wrong bytes", wrong),
            ("entry without file", gone),
        ]
        assert healing.healed == [unknown]
        assert job.state == State(NOW, NOW, blobs=3)
        assert store.index.blob(fine) is not None


async def test_a_restart_goes_on_where_the_round_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue section "Integrity": resumable; what was read before the stop is not read again."""
    monkeypatch.setattr(scrub, "SAVE_BYTES", 1)
    async with opened(tmp_path) as store:
        digests = await put(store, *DATA)
        for digest in digests:
            spoil(store, digest)
        third = asyncio.Event()

        class Hanging(Healing):
            async def mend(self, fault: Fault) -> Outcome:
                if fault.digest == digests[2]:
                    third.set()
                    await asyncio.Event().wait()
                return await super().mend(fault)

        before = Hanging()
        running = asyncio.create_task(job_of(store, before).look())
        async with asyncio.timeout(10.0):
            await third.wait()
        running.cancel()
        await asyncio.wait({running})
        assert [fault.digest for fault in before.mended] == digests[:2]
    async with opened(tmp_path) as store:
        after = Healing()
        job = job_of(store, after, clock=lambda: NOW + 60.0)
        assert job.state == State(NOW, is_under_way=True, after=str(digests[1]), blobs=2)
        await job.look()
        assert [fault.digest for fault in after.mended] == digests[2:]
        assert job.state == State(NOW, NOW + 60.0, blobs=6)


@pytest.mark.parametrize(
    ("state", "is_due"),
    [
        (State(), True),  # never ran
        (State(NOW - WEEK_S - 1, NOW - WEEK_S), True),
        (State(NOW - WEEK_S + 1, NOW - WEEK_S + 2), False),
        (State(NOW - 60, NOW - WEEK_S, is_under_way=True), True),  # was cut short
        (State(NOW + 90_000, NOW + 90_001), True),  # the clock was set back
    ],
)
def test_a_round_is_due_a_week_after_the_last_one_began(state: State, is_due: bool) -> None:
    assert state.is_due(NOW, WEEK_S) is is_due


async def test_between_two_rounds_nothing_is_read(tmp_path: Path) -> None:
    healing = Healing()
    async with opened(tmp_path) as store:
        (digest,) = await put(store, DATA[0])
        await job_of(store, healing).look()
        spoil(store, digest)
        await job_of(store, healing, clock=lambda: NOW + WEEK_S - 1).look()
        assert healing.mended == []
        await job_of(store, healing, clock=lambda: NOW + WEEK_S).look()
        assert len(healing.mended) == 1


class Clock:
    """A loop's clock that is moved by the throttle's sleeping alone."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        patch.setattr("mirror.upstream.throttle.asyncio.sleep", self.sleep)
        patch.setattr(asyncio.get_running_loop(), "time", lambda: self.now, raising=False)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


async def test_the_cap_holds_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue section "Integrity": bandwidth-capped; a blob costs what a disk's movement does besides."""
    async with opened(tmp_path) as store:
        await put(store, *DATA)
        job = job_of(store, Healing(), bytes_s=100_000)
        with monkeypatch.context() as patch:
            clock = Clock(patch)
            await job.look()
        cost = sum(map(len, DATA)) + len(DATA) * BLOB_BYTES
        assert cost / (clock.now - 1_000.0) == pytest.approx(100_000, rel=0.05)


async def test_it_waits_while_clients_wait_for_fills(tmp_path: Path) -> None:
    """Issue section "Integrity": at low priority."""
    async with opened(tmp_path) as store:
        await put(store, DATA[0])
        waited: list[float] = []

        class Busy(Clients):
            async def gone(self, s_max: float) -> None:
                waited.append(s_max)

        await ScrubJob(store, Healing(), Busy(), FAST, Pace(0.0, 0.0, WEEK_S), lambda: NOW).look()
        assert waited == [scrub.PAUSE_S_MAX]


async def test_what_nobody_has_is_told_and_tried_again_until_it_is_back(tmp_path: Path) -> None:
    """Issue section "Integrity": reported where none has it."""
    healing = Healing("lost")
    async with opened(tmp_path) as store:
        (digest,) = await put(store, DATA[0])
        store.files.path(digest).unlink()
        await store.losses.drop(digest)
        job = job_of(store, healing)
        await job.look()
        assert job.state.lost == (str(digest),)
        assert b"\nmirror_damage_lost 1.0\n" in await asyncio.to_thread(exposition)
        healing.outcome = UpstreamError("not now")
        await job.look()
        assert job.state.lost == (str(digest),)
        await put(store, DATA[0])
        await job.look()
        assert job.state.lost == ()
        assert b"\nmirror_damage_lost 0.0\n" in await asyncio.to_thread(exposition)
        assert healing.healed == [digest, digest]


async def test_one_blobs_trouble_keeps_no_other_back(tmp_path: Path, events: list[Any]) -> None:
    healing = Healing(UpstreamError("no"))
    async with opened(tmp_path) as store:
        digests = await put(store, *DATA[:3])
        for digest in digests:
            spoil(store, digest)
        await job_of(store, healing).look()
        assert [fault.digest for fault in healing.mended] == digests
    assert [event["digest"] for event in events if event["event"] == "not scrubbed"] == list(map(str, digests))


async def test_a_note_that_cannot_be_read_is_no_round(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.index.put_note(NOTE, b'{"began_at": "yesterday"}')
        assert job_of(store, Healing()).state == State()
