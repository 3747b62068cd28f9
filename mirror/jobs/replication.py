"""Replication: reads the change log into a durable queue, and empties the queue, place by place.

Source: DESIGN walk 5; ECR.md 2.4; FIELD pain 22. An order is asked for in the transaction that moves this consumer's
cursor, so each change is asked for once; it is tried again for as long as a rule stands. A place that does not answer
is left alone for a while with all that waits for it; an order that a place refuses waits alone, and keeps none back.
"""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Final

from mirror import telemetry
from mirror.jobs.clock import opens_in_s
from mirror.oci.errors import RegistryError
from mirror.oci.names import Repository
from mirror.registry.carriers import Carrier, CarrierOf, Gone, Refused, Trouble
from mirror.registry.configurations import REPLICATION
from mirror.registry.replication_orders import orders_of
from mirror.registry.replication_routes import Routes
from mirror.rules.destinations import WORKERS
from mirror.rules.windows import ALWAYS, Windows
from mirror.store.changelog import last_seq
from mirror.store.changes import Change
from mirror.store.replications import NO_LAG, Order, Place, Read, Replications, Shipment
from mirror.store.store import Store

CONSUMER: Final = "replication"  # the cursor's name
PAGE: Final = 500  # changes read at once
UNSAVED_MAX: Final = 1_000  # changes that may be read again after a crash
LOOK_S_MAX: Final = 600.0  # between two looks at the clock while a window is closed: clocks are set

Spawn = Callable[[Coroutine[Any, Any, None], str], object]


@dataclass(frozen=True, slots=True)
class Pace:
    """How patient the replicator is; the defaults are the product's, tests have shorter ones."""

    first_s: float = 5.0  # after a first refusal, or a first silence; each one after it is twice as long
    longest_s: float = 3_600.0  # between two tries of an order that is refused
    silence_s_max: float = 60.0  # between two looks at a place that does not answer
    broken_s: float = 10.0  # after a fault of our own
    watch_s: float = 5.0  # between two looks at how far places are behind

    def pause_s(self, tries: int, longest_s: float) -> float:
        """Return how long to wait after so many tries in vain; spread, so that not all come at once."""
        jitter: float = random.uniform(0.5, 1.0)  # noqa: S311 - it spreads load and guards nothing
        return min(longest_s, self.first_s * 2.0 ** min(tries, 30)) * jitter


PACE: Final = Pace()


@dataclass(frozen=True, slots=True)
class Lane:
    """How much goes to a place at once, of different repositories, and when."""

    workers: int = WORKERS
    windows: Windows = ALWAYS

    def opens_in_s(self) -> float:
        """Say in how many seconds anything may go: 0.0 now."""
        return opens_in_s(self.windows)


LaneOf = Callable[[Place], Lane]


class Replicator:
    """The replication of all registries of the node."""

    def __init__(
        self,
        store: Store,
        routes: Routes,
        carrier_of: CarrierOf,
        lane_of: LaneOf,
        spawn: Spawn,
        pace: Pace | None = None,
    ) -> None:
        self._store = store
        self._queue = store.replications
        self._routes = routes
        self._carrier_of = carrier_of
        self._lane_of = lane_of
        self._spawn = spawn
        self._pace = pace or PACE
        self._lines: dict[Place, _Line] = {}
        self._saved = 0
        self._queue.followers.append(self._wake)

    async def run(self) -> None:
        """Follow the log for ever. A fault of ours is logged and tried again: what is in the log is not lost."""
        while True:
            try:
                await self._follow_rules()
            except RegistryError as error:
                telemetry.log.warning("replication put off", reason=error.message)
                await asyncio.sleep(self._pace.broken_s)
            except Exception:  # noqa: BLE001 - logged, and the cursor has not moved
                telemetry.log.exception("replication failed")
                await asyncio.sleep(self._pace.broken_s)

    async def watch(self) -> None:
        """Tell for ever how far each place is behind."""
        while True:
            lags = await self._queue.lags()
            for place in self._lines:
                lag = lags.get(place, NO_LAG)
                oldest_s = 0.0 if lag.oldest_at is None else max(0.0, time.time() - lag.oldest_at)
                telemetry.REPLICATION_WAITING.labels(place.region, place.account).set(lag.waiting)
                telemetry.REPLICATION_FAILED.labels(place.region, place.account).set(lag.failed)
                telemetry.REPLICATION_LAG.labels(place.region, place.account).set(oldest_s)
            await asyncio.sleep(self._pace.watch_s)

    async def _follow_rules(self) -> None:
        """Follow the log from the cursor on, or, where nobody replicates, from the first rule on."""
        await self._routes.open(await last_seq(self._store.database))
        if self._routes.sources():
            seq = max(self._routes.since(), await self._store.cursors.read(CONSUMER))
        else:
            await self._settle()
            seq = await self._first_rule()
            await self._store.cursors.move(CONSUMER, seq)
        self._saved = seq
        await self._settle()
        while self._routes.sources():
            seq = await self._follow(seq)
        await self._store.cursors.move(CONSUMER, seq)

    async def _first_rule(self) -> int:
        """Wait until a registry replicates; return what was in the log before. Costs pushes nothing until then.

        A crash between the first rule and the cursor that follows it must lose no push: there is a cursor already.
        """
        seq = await last_seq(self._store.database)
        await self._store.cursors.move(CONSUMER, seq)
        while not self._routes.sources():
            seq = max(seq, self._store.news.seq)
            await self._store.news.wait(seq)
        return seq

    async def _follow(self, seq: int) -> int:
        """Turn the changes behind `seq` into orders; return the last one that is done."""
        found = await self._store.catalog.changes(seq, PAGE)
        if not found:
            await self._store.news.wait(seq)
            return seq
        if len(found) == PAGE:
            found = _whole_transactions(found)
        orders = orders_of(found, self._routes.of)
        last = found[-1].seq
        # What asks for nothing may be read again after a crash: its place need not be written each time.
        gone = [(one.repository, one.named) for one in found if one.kind == "manifest.deleted" and one.repository.owned]
        if orders or gone or last - self._saved > UNSAVED_MAX:
            await self._queue.ask(orders, time.time(), read=Read(CONSUMER, last, gone))
            self._saved = last
        if any(change.kind == "document.changed" and change.detail["kind"] == REPLICATION for change in found):
            await self._settle()
        return last

    async def _settle(self) -> None:
        """Serve the places that rules speak of now, and forget what waits for others."""
        places = {owner: self._routes.of(owner).places() for owner in self._routes.sources()}
        await self._queue.keep_only(places)
        self._wake({place for found in places.values() for place in found})

    def _wake(self, places: Iterable[Place]) -> None:
        for place in set(places):
            line = self._lines.get(place)
            if line is None:
                lane = self._lane_of(place)
                line = self._lines[place] = _Line(place, self._queue, self._carrier_of, lane, self._pace)
                for number in range(lane.workers):
                    self._spawn(line.work(), f"replication to {place}, {number}")
            line.news.set()


class _Line:
    """The orders for one place, and those who carry them out."""

    def __init__(self, place: Place, queue: Replications, carrier_of: CarrierOf, lane: Lane, pace: Pace) -> None:
        self.news = asyncio.Event()
        self._place = place
        self._queue = queue
        self._carrier_of = carrier_of
        self._carriers: dict[str, Carrier] = {}
        self._lane = lane
        self._pace = pace
        self._busy: set[Repository] = set()
        self._taking = asyncio.Lock()
        self._silences = 0
        self._silent_until = 0.0  # monotonic seconds

    async def work(self) -> None:
        """Carry out orders for ever, one at a time; of one repository in the order in which they were asked."""
        telemetry.forget_request()  # the first order may have been asked for by one
        while True:
            try:
                one = await self._take()
                try:
                    with telemetry.span("replication order", place=self._place, image=_image(one.order)) as span:
                        await self._carry_out(one, span)
                finally:
                    self._busy.discard(one.order.repository)
                    self.news.set()
            except Exception:  # noqa: BLE001 - logged, and the order is still in the queue
                telemetry.log.exception("replication failed", place=str(self._place))
                await asyncio.sleep(self._pace.broken_s)

    async def _take(self) -> Shipment:
        """Wait for an order that may be tried."""
        async with self._taking:
            while True:
                self.news.clear()
                if await self._must_wait():
                    continue
                found = await self._queue.due(self._place, time.time(), self._busy)
                if found is not None:
                    self._busy.add(found.order.repository)
                    return found
                await self._rest()

    async def _must_wait(self) -> bool:
        """Wait for a moment where nothing may go now; tell whether that was so."""
        wait_s = max(self._lane.opens_in_s(), self._silent_until - time.monotonic())
        if wait_s > 0:
            await asyncio.sleep(min(wait_s, LOOK_S_MAX))
        return wait_s > 0

    async def _rest(self) -> None:
        """Wait until there is news, or until the next order is due."""
        due_at = await self._queue.next_due_at(self._place, self._busy)
        wait_s = None if due_at is None else max(0.0, due_at - time.time())
        try:
            async with asyncio.timeout(wait_s):
                await self.news.wait()
        except TimeoutError:
            return

    def _carrier(self, account: str) -> Carrier:
        """Return what carries the images of an account to this place."""
        carrier = self._carriers.get(account)
        if carrier is None:
            carrier = self._carriers[account] = self._carrier_of(self._place, account)
        return carrier

    async def _carry_out(self, one: Shipment, span: telemetry.Span) -> None:
        try:
            await self._carrier(one.order.repository.registry.account).carry_out(one.order)
        except Gone:
            await self._queue.drop(one)
        except Refused as refusal:
            span.failed(refusal.failure)
            due_at = time.time() + self._pace.pause_s(one.tries, self._pace.longest_s)
            await self._queue.failed(one, refusal.failure, refusal.reason, due_at)
            _say("refused", one.order, refusal.reason)
        except (Trouble, RegistryError) as trouble:
            span.failed(type(trouble).__name__)
            pause_s = self._pace.pause_s(self._silences, self._pace.silence_s_max)
            self._silences += 1
            self._silent_until = time.monotonic() + pause_s
            _say("put off", one.order, str(trouble))
        else:
            self._silences = 0
            await self._queue.done(one, time.time())


def _whole_transactions(changes: list[Change]) -> list[Change]:
    """Leave out the last ones of a full page that may have others of their transaction behind it."""
    last = changes[-1]
    kept = [one for one in changes if (one.repository, one.at) != (last.repository, last.at)]
    return kept or changes


def _say(what: str, order: Order, reason: str) -> None:
    image, place = _image(order), str(order.place)
    telemetry.log.warning(f"replication {what}", image=image, digest=str(order.digest), place=place, reason=reason)


def _image(order: Order) -> str:
    return f"{order.repository.name}{':' + order.tag if order.tag else ''}"
