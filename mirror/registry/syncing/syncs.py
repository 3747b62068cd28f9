"""What is synchronized: the rules of the configuration, each run once at a time, and single images on demand.

A run of a rule belongs to the node: whoever asks for one that is under way watches it. What came of the last one is a
document, so a restart neither forgets it nor runs everything anew.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import msgspec

from mirror import telemetry
from mirror.aws.errors import InvalidParameter
from mirror.oci.errors import StorageFull
from mirror.oci.names import Registry
from mirror.registry.flights import Spawn
from mirror.registry.syncing.hands import BLOBS_MAX, Keeping, Looking
from mirror.registry.syncing.rounds import Round
from mirror.registry.syncing.tally import Outcome, Tally
from mirror.registry.syncing.targets import Targets
from mirror.registry.syncing.walk import Shelf
from mirror.rules.syncing import SyncRule
from mirror.store.documents import Documents, Edit
from mirror.upstream.throttle import Throttle

SYNC: Final = "sync"  # the kind of document that an outcome is; its name is the rule's
RUNS_MAX: Final = 64  # plans and single images under way at once, on demand


OpensIn = Callable[[], float]  # in how many seconds a run may go on, 0.0 for now
LOOK_S_MAX: Final = 60.0  # the machine's clock may be set, or change to summer time, while a window is waited for


def always() -> float:
    """Let a run go on."""
    return 0.0


@dataclass(slots=True)
class Run:
    """A run under way, or one that was. `released`: somebody wants it now, whatever the time of day."""

    tally: Tally
    opens_in: OpensIn
    released: asyncio.Event
    task: "asyncio.Task[None]" = field(init=False)

    async def gate(self) -> None:
        """Wait until the run may go on."""
        while not self.released.is_set() and (wait_s := self.opens_in()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(wait_s, LOOK_S_MAX)):
                    await self.released.wait()


class Syncs:
    """Runs the rules. `throttle` is the node's cap, within which each rule has its own."""

    def __init__(
        self,
        home: Registry,
        rules: Sequence[SyncRule],
        targets: Targets,
        shelf: Shelf,
        documents: Documents,
        throttle: Throttle,
        spawn: Spawn,
    ) -> None:
        self.rules: Mapping[str, SyncRule] = {rule.name: rule for rule in rules}
        self._home = home
        self._targets = targets
        self._shelf = shelf
        self._documents = documents
        self._outer = throttle
        self._throttles = {rule.name: Throttle(rule.bytes_s_max, throttle) for rule in rules}
        self._spawn = spawn
        self._places = asyncio.Semaphore(BLOBS_MAX)
        self._running: dict[str, Run] = {}
        self._on_demand = 0

    def named(self, names: Iterable[str]) -> list[SyncRule]:
        """Return the rules of these names, all without any. Raises InvalidParameter."""
        for name in names:
            if name not in self.rules:
                there = ", ".join(self.rules) or "none"
                raise InvalidParameter(f"No [[sync]] is called {name[:80]!r}: there is {there}")
        return [self.rules[name] for name in dict.fromkeys(names)] or [*self.rules.values()]

    def start(self, rule: SyncRule, opens_in: OpensIn = always) -> Run:
        """Run a rule, unless it is running: return that run then. Not async on purpose: no await, so no race.

        Between its images it waits as `opens_in` says, until somebody starts it without.
        """
        run = self._running.get(rule.name)
        if run is None:
            run = self._running[rule.name] = Run(Tally(rule.name, measured=True), opens_in, asyncio.Event())
            run.task = self._spawn(self._run(rule, run), f"sync {rule.name}")
        if opens_in is always:
            run.released.set()
        return run

    def plan(self, rule: SyncRule) -> Run:
        """Find out what a run would do. It is the caller's: who loses interest cancels its task."""
        tally = Tally(rule.name, planned=True)
        work = Round(rule, self._targets, self._shelf, Looking(self._shelf.kept), tally)
        return self._demand(work, tally, f"plan of {rule.name}")

    def warm(self, rule: SyncRule) -> Run:
        """Run a rule that is in no file. It is the caller's: who loses interest cancels its task."""
        tally = Tally(rule.name)
        return self._demand(self._round(rule, tally, self._outer), tally, "warm")

    def running(self, name: str) -> Outcome | None:
        """Return what has come so far of a rule's run; None when it is not running."""
        run = self._running.get(name)
        return None if run is None else run.tally.outcome

    def last(self, name: str) -> Outcome:
        """Return what came of a rule's last run, or of one that a stop of the node cut short."""
        body = self._documents.get(self._home, SYNC, name)
        return Outcome(name) if body is None else msgspec.json.decode(body, type=Outcome)

    def _demand(self, work: Round, tally: Tally, name: str) -> Run:
        if self._on_demand >= RUNS_MAX:
            raise InvalidParameter(f"{RUNS_MAX} plans and images are under way already")
        self._on_demand += 1

        run = Run(tally, always, asyncio.Event())

        async def go() -> None:
            try:
                await _go(work, run)
                tally.finish(0.0)
            finally:
                self._on_demand -= 1
                tally.end()

        run.task = self._spawn(go(), name)
        return run

    async def _run(self, rule: SyncRule, run: Run) -> None:
        tally, succeeded_at = run.tally, self.last(rule.name).succeeded_at
        try:
            await self._put(tally.outcome)
            await _go(self._round(rule, tally, self._throttles[rule.name]), run)
            tally.finish(succeeded_at)
            telemetry.SYNC_SUCCESS.labels(rule.name).set(tally.outcome.succeeded_at)
            await self._put(tally.outcome)
        finally:
            del self._running[rule.name]
            tally.end()

    def _round(self, rule: SyncRule, tally: Tally, throttle: Throttle) -> Round:
        shelf = self._shelf
        hand = Keeping(shelf.manifests, shelf.blobs, shelf.catalog, throttle, self._places)
        tally.under_way = hand.under_way
        return Round(rule, self._targets, self._shelf, hand, tally)

    async def _put(self, outcome: Outcome) -> None:
        try:
            await self._documents.write([Edit(self._home, SYNC, outcome.rule, msgspec.json.encode(outcome))])
        except StorageFull as error:
            # The run itself meets the disk as well, and says so to whoever listens.
            telemetry.log.warning("outcome of a sync not kept", rule=outcome.rule, reason=error.message)


async def _go(work: Round, run: Run) -> None:
    """Go a round; one that does not come to its end has failed."""
    try:
        with telemetry.span("sync walk", rule=run.tally.outcome.rule):
            await work.run(run.gate)
    except BaseException:
        run.tally.failed(run.tally.outcome.rule, "did not come to its end: the node's log may say why")
        raise
