"""Webhooks: each follows the change log with a cursor of its own, and is told every event in order, at least once.

Source: DESIGN section 2, "The change log is the spine". A hook that is down is asked again for as long as it stands; an
event that it refuses as such is parked (its place in the log and the reason are in the node's log) so that it does not
keep the others. What is repeated after a crash has the id that it had before.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import aiohttp

from mirror import telemetry
from mirror.jobs.deliveries import Answer, Hook, deliver, opened
from mirror.oci.errors import RegistryError
from mirror.registry.events import Event
from mirror.store.changes import Change

PAGE: Final = 200  # changes read at once, with a neighbour on either side
LAST_SAVE_S_MAX: Final = 5.0  # how long a stop waits for the cursor to be written
BROKEN_S: Final = 10.0  # pause after a fault of our own, such as a database that does not answer

Outcome = Literal["delivered", "repeated", "parked"]


@dataclass(frozen=True, slots=True)
class Pace:
    """How patient a webhook is; the defaults are the product's, tests have shorter ones."""

    first_s: float = 1.0  # the pause after a first failure; each one after it is twice as long
    longest_s: float = 300.0
    refusals_max: int = 10  # of one event: some eight minutes, in which a receiver's own mistake can be mended
    save_every_s: float = 1.0  # a cursor costs a commit: what a crash repeats is a second's or a hundred events
    save_events_max: int = 100

    def pause_s(self, tries: int, asked_s: float) -> float:
        """Return how long to wait after so many tries in vain; spread, so that nodes do not come all at once."""
        jitter: float = random.uniform(0.5, 1.0)  # noqa: S311 - it spreads load and guards nothing
        return max(min(self.longest_s, self.first_s * 2.0 ** min(tries - 1, 30)) * jitter, asked_s)


PACE: Final = Pace()


class Log(Protocol):
    """The change log."""

    async def changes(self, after: int, limit: int) -> list[Change]: ...


class News(Protocol):
    """Who knows when the log has grown."""

    async def wait(self, seq: int) -> None: ...


class Cursors(Protocol):
    """Who remembers how far each consumer has come."""

    async def read(self, name: str) -> int: ...
    async def move(self, name: str, seq: int) -> None: ...


class Events(Protocol):
    """Who makes events of changes."""

    def read(self, change: Change, before: Change | None, after: Change | None) -> Event | None: ...


class Webhook:
    """One webhook. `run` is a task of the node's; `counted` is told what became of each delivery."""

    def __init__(
        self,
        hook: Hook,
        log: Log,
        news: News,
        cursors: Cursors,
        events: Events,
        *,
        user_agent: str,
        counted: Callable[[Outcome], object] = lambda _: None,
        pace: Pace = PACE,
    ) -> None:
        self._hook = hook
        self._log = log
        self._news = news
        self._place = Place(cursors, f"webhook {hook.name}", pace)
        self._events = events
        self._user_agent = user_agent
        self._counted = counted
        self._pace = pace

    async def run(self) -> None:
        """Deliver for ever. A fault of ours is logged and tried again: it must not end what was promised."""
        async with opened(self._user_agent) as session:
            try:
                while True:
                    try:
                        await self._follow(session)
                    except RegistryError as error:
                        telemetry.log.warning("webhook put off", hook=self._hook.name, reason=error.message)
                        await asyncio.sleep(min(BROKEN_S, self._pace.longest_s))
                    except Exception:  # noqa: BLE001 - logged, and what was not delivered is still in the log
                        telemetry.log.exception("webhook failed", hook=self._hook.name)
                        await asyncio.sleep(min(BROKEN_S, self._pace.longest_s))
            finally:
                with suppress(RegistryError, TimeoutError):
                    async with asyncio.timeout(LAST_SAVE_S_MAX):
                        await self._place.save()

    async def _follow(self, session: aiohttp.ClientSession) -> None:
        """Deliver what is in the log behind the cursor, then wait for more."""
        seq = await self._place.read()
        # The last change that is done is read again: events are made of changes and their neighbours.
        found = await self._log.changes(max(seq - 1, 0), PAGE)
        before = found.pop(0) if found and found[0].seq <= seq else None
        if not found:
            await self._wait(seq)
            return
        # A full page may end within a transaction: its last change is a neighbour only. A short one ends the log.
        is_full = len(found) >= PAGE - 1
        for number, change in enumerate(found[:-1] if is_full else found):
            event = self._event(change, before, _at(found, number + 1))
            if event is not None:
                await self._deliver(session, event)
            self._place.reach(change.seq, delivered=event is not None)
            await self._place.save_in_time()
            before = change

    async def _wait(self, seq: int) -> None:
        """Wait until the log has grown, or until the cursor wants saving."""
        wait_s = self._place.save_in_s()
        try:
            async with asyncio.timeout(wait_s):
                await self._news.wait(seq)
        except TimeoutError:
            await self._place.save_in_time()

    def _event(self, change: Change, before: Change | None, after: Change | None) -> Event | None:
        try:
            event = self._events.read(change, before, after)
        except Exception:  # noqa: BLE001 - one change that cannot be told must not keep those behind it
            telemetry.log.exception("change not told", hook=self._hook.name, seq=change.seq, kind=change.kind)
            return None
        return event if event is not None and event.type in (self._hook.types or (event.type,)) else None

    async def _deliver(self, session: aiohttp.ClientSession, event: Event) -> None:
        """Send an event until it is taken, or until it was refused too often."""
        tries = refusals = 0
        while True:
            answer = await deliver(session, self._hook, event)
            if answer.verdict == "taken":
                self._counted("delivered")
                return
            tries += 1
            refusals += answer.verdict == "refused"
            if refusals >= self._pace.refusals_max:
                self._note("parked", event, answer, tries)
                return
            self._note("repeated", event, answer, tries)
            await self._place.save()
            await asyncio.sleep(self._pace.pause_s(tries, answer.after_s))

    def _note(self, outcome: Outcome, event: Event, answer: Answer, tries: int) -> None:
        self._counted(outcome)
        say = telemetry.log.error if outcome == "parked" else telemetry.log.warning
        named: dict[str, Any] = {"hook": self._hook.name, "id": event.id, "seq": event.seq, "type": event.type}
        say(f"event {outcome}", reason=answer.reason, tries=tries, **named)


class Place:
    """How far a consumer has come: in memory at once, on the disk a little later."""

    def __init__(self, cursors: Cursors, name: str, pace: Pace) -> None:
        self._cursors = cursors
        self._name = name
        self._pace = pace
        self._seq: int | None = None
        self._saved_seq = 0
        self._saved_at = time.monotonic()
        self._delivered = 0

    async def read(self) -> int:
        """Return the last change that is done."""
        if self._seq is None:
            self._seq = self._saved_seq = await self._cursors.read(self._name)
        return self._seq

    def reach(self, seq: int, *, delivered: bool) -> None:
        """Say that `seq` is done."""
        self._seq = seq
        self._delivered += delivered

    def save_in_s(self) -> float | None:
        """Return in how many seconds there is something to save; None for nothing."""
        if self._seq is None or self._seq == self._saved_seq:
            return None
        if self._delivered >= self._pace.save_events_max:
            return 0.0
        return max(0.0, self._saved_at + self._pace.save_every_s - time.monotonic())

    async def save_in_time(self) -> None:
        if self.save_in_s() == 0.0:
            await self.save()

    async def save(self) -> None:
        """Write the cursor, if it has moved."""
        if self._seq is not None and self._seq != self._saved_seq:
            seq = self._seq
            await self._cursors.move(self._name, seq)
            self._saved_seq, self._saved_at, self._delivered = seq, time.monotonic(), 0


def _at(changes: Sequence[Change], number: int) -> Change | None:
    return changes[number] if number < len(changes) else None
