"""Checkups: an administrator has every stored byte held against its digest, and what is wrong put right."""

import asyncio
from typing import Final

import msgspec

from mirror import telemetry
from mirror.oci.errors import RegistryError
from mirror.registry.flights import Spawn
from mirror.registry.healing import Healing
from mirror.store.examination import Fault
from mirror.store.store import Store
from mirror.store.verify import Verification

FOUND_MAX: Final = 1_000  # faults that wait to be told; then nothing more is read


class Found(msgspec.Struct, frozen=True):
    """A fault, and what came of it: healed, missed, lost (see `healing.py`), harmless, or "": nothing was done."""

    digest: str
    fault: str
    outcome: str


class Counts(msgspec.Struct):
    """How far a checkup is: of `total` blobs, and what it has found. `harmful`: faults but for harmless ones."""

    total: int
    blobs: int = 0
    bytes: int = 0
    harmful: int = 0
    healed: int = 0
    missed: int = 0
    lost: int = 0
    failure: str = "it is not at its end"


class Checkup:
    """One checkup under way. `found` has its faults, and None behind the last."""

    def __init__(self, total: int) -> None:
        self.counts = Counts(total)
        self.found: asyncio.Queue[Found | None] = asyncio.Queue(FOUND_MAX)
        self.task: asyncio.Task[None]  # from its beginning on

    def note(self, fault: Fault, outcome: str) -> Found:
        """Count a fault."""
        self.counts.harmful += not fault.harmless
        if outcome in ("healed", "missed", "lost"):
            setattr(self.counts, outcome, getattr(self.counts, outcome) + 1)
        return Found(str(fault.digest), fault.kind, outcome)

    async def take(self, count: int) -> None:
        """Count bytes that are about to be read."""
        self.counts.bytes += count
        telemetry.SCRUB_BYTES.inc(count)

    def progress(self, blobs: int) -> None:
        self.counts.blobs = blobs


class Checkups:
    """Begins checkups."""

    def __init__(self, store: Store, healing: Healing, spawn: Spawn) -> None:
        self._store = store
        self._healing = healing
        self._spawn = spawn

    def begin(self, *, repair: bool) -> Checkup:
        """Begin one; it is whose it is that listens, and stopped by cancelling its task."""
        checkup = Checkup(self._store.index.blob_count())
        checkup.task = self._spawn(self._run(checkup, repair=repair), "checkup")
        return checkup

    async def _run(self, checkup: Checkup, *, repair: bool) -> None:
        try:
            async for fault in Verification(self._store, checkup.take).faults(checkup.progress):
                outcome = await self._healing.mend(fault) if repair else "harmless" if fault.harmless else ""
                await checkup.found.put(checkup.note(fault, outcome))
            checkup.counts.failure = ""
        except (RegistryError, OSError) as error:
            checkup.counts.failure = str(error)
        await checkup.found.put(None)
