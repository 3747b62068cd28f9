"""The scrub: all stored bytes are read again, once a week and slowly; what is damaged or missing is healed.

Source: issue section "Integrity"; RELIABILITY section 4, "Bit rot". How far it has come is noted in the index, so that
a restart goes on there; an index that is built anew has no checksums either, and the scrub begins anew with it. It
gives way to fills that clients wait for, and keeps to a cap.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from mirror import telemetry
from mirror.oci.digest import Digest, parse_digest
from mirror.oci.errors import RegistryError
from mirror.registry.healing import Outcome
from mirror.registry.pacing import PAUSE_S_MAX, Clients
from mirror.store.examination import Examiner, Fault
from mirror.store.store import Store
from mirror.store.verify import unheld
from mirror.upstream.throttle import Throttle

NOTE: Final = "scrub"
PAGE_MAX: Final = 100  # blobs named in memory at once
BLOB_BYTES: Final = 64 * 1024  # what a blob costs besides its bytes: opening a file is a disk's movement
SAVE_BYTES: Final = 64 * 1024 * 1024  # a restart reads no more than this, and one blob, again
LOST_MAX: Final = 1_000  # remembered and tried again before the next round; each round finds all


@dataclass(frozen=True, slots=True)
class Pace:
    """How busy the job is; the defaults are the product's, tests have shorter ones."""

    start_s: float = 60.0  # after a start, which has enough to do
    look_s: float = 3_600.0  # between two looks at what is due, and two tries to heal what is lost
    every_s: float = 7 * 86_400.0  # from the beginning of a round to that of the next


PACE: Final = Pace()


class State(msgspec.Struct, frozen=True):
    """The latest round: when it began and, if it is not under way, ended (unix seconds); the last digest that it has
    read and how many there were; and what is lost."""

    began_at: float = 0.0
    ended_at: float = 0.0  # of the round before, while one is under way
    is_under_way: bool = False
    after: str = ""
    blobs: int = 0
    lost: tuple[str, ...] = ()

    def is_due(self, now: float, every_s: float) -> bool:
        """Tell whether there is something to do: a round that was cut short, or the next one."""
        # A clock that was set back makes nobody wait for longer.
        return self.is_under_way or not 0 <= now - self.began_at < every_s


class Healing(Protocol):
    """Who does something about damage."""

    async def mend(self, fault: Fault) -> Outcome: ...

    async def heal(self, digest: Digest) -> Outcome: ...


class ScrubJob:
    """The scrub of one store, at `bytes_s` bytes a second."""

    def __init__(
        self,
        store: Store,
        healing: Healing,
        clients: Clients,
        bytes_s: int,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._healing = healing
        self._clients = clients
        self._throttle = Throttle(bytes_s)
        self._pace = pace or PACE
        self._clock = clock
        self._unsaved_bytes = 0
        piece_bytes = self._throttle.piece_bytes
        self._examiner = Examiner(store.files, store.index, self._take, thorough=False, piece_bytes=piece_bytes)
        self.state = _read(store.index.note(NOTE))
        self._tell()

    async def run(self) -> None:
        """Scrub for ever. A fault of ours is logged and tried again."""
        await asyncio.sleep(self._pace.start_s)
        while True:
            failed = False
            try:
                await self.look()
            except Exception:  # noqa: BLE001 - logged, and the next look goes on where this one was
                telemetry.log.exception("scrub failed")
                failed = True
            now = self._clock()
            telemetry.job_ended("scrub", now, now + self._pace.look_s, failed=failed)
            await asyncio.sleep(self._pace.look_s)

    async def look(self) -> None:
        """Try to heal what was lost, then go on with a round or begin the next, if it is due."""
        await self._heal_again()
        now = self._clock()
        if not self.state.is_due(now, self._pace.every_s):
            return
        if not self.state.is_under_way:
            await self._save(State(now, self.state.ended_at, is_under_way=True, lost=self.state.lost))
        await self._read_all()
        await self._look_for_names()

    async def _heal_again(self) -> None:
        still = [text for text in self.state.lost if await self._is_lost(parse_digest(text))]
        if len(still) < len(self.state.lost):
            await self._save(msgspec.structs.replace(self.state, lost=tuple(still)))

    async def _is_lost(self, digest: Digest) -> bool:
        if self._store.index.blob(digest) is not None:
            return False
        try:
            return await self._healing.heal(digest) == "lost"
        except (RegistryError, OSError) as error:
            telemetry.log.warning("not healed", digest=str(digest), reason=str(error))
            return True

    async def _read_all(self) -> None:
        """Examine all that the index has, from where the round stands."""
        last = parse_digest(self.state.after) if self.state.after else None
        while page := self._store.index.blobs(last, PAGE_MAX):
            done = 0
            for digest, _ in page:
                await self._examine(digest)
                last, done = digest, done + 1
                if self._unsaved_bytes >= SAVE_BYTES or digest == page[-1][0]:
                    await self._save_at(digest, done)
                    done = 0

    async def _save_at(self, digest: Digest, done: int) -> None:
        self._unsaved_bytes = 0
        await self._save(msgspec.structs.replace(self.state, after=str(digest), blobs=self.state.blobs + done))

    async def _examine(self, digest: Digest) -> None:
        await self._throttle.take(BLOB_BYTES)
        try:
            fault = await self._examiner.entry(digest)
            if fault is not None:
                await self._healing.mend(fault)
        except (RegistryError, OSError) as error:
            # One blob's trouble keeps no other back; the next round comes by.
            telemetry.log.warning("not scrubbed", digest=str(digest), reason=str(error))

    async def _look_for_names(self) -> None:
        """End a round: find what repositories of our own name and nobody has here, be it for how long."""
        lost: list[str] = []
        async for digest in unheld(self._store):
            if await self._is_lost(digest) and len(lost) < LOST_MAX:
                lost.append(str(digest))
        telemetry.log.info("scrub ended", blobs=self.state.blobs, lost=len(lost), began_at=self.state.began_at)
        await self._save(State(self.state.began_at, self._clock(), blobs=self.state.blobs, lost=tuple(lost)))

    async def _take(self, count: int) -> None:
        """Wait until so many bytes may be read: within the cap, and after what clients wait for."""
        await self._throttle.take(count)
        await self._clients.gone(PAUSE_S_MAX)
        self._unsaved_bytes += count
        telemetry.SCRUB_BYTES.inc(count)

    async def _save(self, state: State) -> None:
        self.state = state
        await self._store.index.put_note(NOTE, msgspec.json.encode(state))
        self._tell()

    def _tell(self) -> None:
        telemetry.DAMAGE_LOST.set(len(self.state.lost))
        telemetry.SCRUB_SUCCESS.set(self.state.ended_at)


def _read(note: bytes | None) -> State:
    """Read what was noted; what cannot be read, as another release may have written it, is no round."""
    try:
        return msgspec.json.decode(note or b"{}", type=State)
    except msgspec.DecodeError:
        return State()
