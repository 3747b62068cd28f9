"""Probes: whether the node can do its work, by doing a little of it. What `/readyz` and the watchdog ask.

Each part is asked for real, with a limit. One that does not answer is not asked again before it has: a disk that hangs
costs one thread, not one a probe. What was found holds for a moment, so that nobody makes the node write by asking.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from mirror import telemetry
from mirror.oci.errors import StorageFull
from mirror.store.changelog import last_seq
from mirror.store.store import Store
from mirror.web.ops import Readiness

FULL: Final = "full; what is here is served, the rest passes through, pushes are refused"
PROBE_S_MAX: Final = 5.0  # each takes a millisecond, an fsync of a busy disk a second
FOUND_HOLDS_S: Final = 1.0

Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]


class Probes:
    """All that is asked. `is_stopping` comes before everything else, and holds at once."""

    def __init__(self, store: Store, spawn: Spawn, is_stopping: Callable[[], bool]) -> None:
        async def index() -> None:
            store.index.cursor()

        async def disk() -> None:
            await store.space.take(0)
            await asyncio.to_thread(store.files.try_writing)

        self._is_stopping = is_stopping
        self._probes = (
            _Probe("sql", "the database cannot be read", lambda: last_seq(store.database), spawn),
            _Probe("index", "the index cannot be read", index, spawn),
            _Probe("disk", "the disk cannot be written", disk, spawn),
        )
        self._asking = asyncio.Lock()
        self._found = Readiness((), ())
        self._until = 0.0

    async def look(self) -> Readiness:
        """Say what keeps the node from its work, and what it works without."""
        loop = asyncio.get_running_loop()
        async with self._asking:
            if not self._is_stopping() and loop.time() >= self._until:
                await asyncio.gather(*(probe.ask() for probe in self._probes))
                faults = tuple(probe.fault for probe in self._probes if probe.fault)
                self._found = Readiness(faults, tuple(probe.warning for probe in self._probes if probe.warning))
                self._until = loop.time() + FOUND_HOLDS_S
        return Readiness(("stopping",), ()) if self._is_stopping() else self._found


class _Probe:
    """One part of the node, and what was found when it was asked last: `fault` and `warning`, "" where none."""

    def __init__(self, name: str, failure: str, work: Callable[[], Awaitable[object]], spawn: Spawn) -> None:
        self.fault = ""
        self.warning = ""
        self._name = name
        self._failure = failure
        self._work = work
        self._spawn = spawn
        self._running: asyncio.Task[None] | None = None

    async def ask(self) -> None:
        if self._running is None or self._running.done():
            self._running = self._spawn(self._try(), f"probe {self._name}")
        await asyncio.wait({self._running}, timeout=PROBE_S_MAX)
        if not self._running.done():
            self._found(fault=f"{self._name}: no answer within {PROBE_S_MAX:g} s")

    async def _try(self) -> None:
        try:
            await self._work()
        except StorageFull:
            # Not a fault: what is here is served, and another node or a restart would not have more room.
            self._found(warning=f"{self._name}: {FULL}")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the probe was to find
            # Why is for the log: anybody may ask /readyz.
            self._found(fault=f"{self._name}: {self._failure}", reason=repr(error))
        else:
            self._found()

    def _found(self, *, fault: str = "", warning: str = "", reason: str = "") -> None:
        """Keep what was found, and log it when it is news."""
        if (fault, warning) != (self.fault, self.warning):
            told = {"reason": reason} if reason else {}
            if fault or warning:
                telemetry.log.warning("probe failed", probe=self._name, found=fault or warning, **told)
            else:
                telemetry.log.info("probe answers again", probe=self._name)
        self.fault, self.warning = fault, warning
