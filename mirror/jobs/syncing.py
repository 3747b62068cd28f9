"""The schedule of what is synchronized: a rule is run some time after its last run has ended, within its windows.

Between the images of a run it waits while no window is open. A restart goes on where the schedule was; a run that was
cut short begins again, and costs what is still to do.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from mirror.jobs.clock import opens_in_s
from mirror.registry.flights import Spawn
from mirror.registry.syncing import LOOK_S_MAX, OpensIn, Outcome, Run
from mirror.rules.syncing import SyncRule
from mirror.rules.windows import Windows

JITTER_SHARE: Final = 0.1  # of the interval: a site's nodes must not ask in step
JITTER_S_MAX: Final = 60.0


class Rules(Protocol):
    """What the schedule needs of the rules: to run them, and when they ran last."""

    def start(self, rule: SyncRule, opens_in: OpensIn) -> Run: ...

    def last(self, name: str) -> Outcome: ...


@dataclass(frozen=True, slots=True)
class Turn:
    """When a rule's turn comes."""

    rule: SyncRule
    windows: Windows

    def due_in_s(self, last: Outcome, now: float) -> float:
        """Say in how many seconds after `now` (unix seconds) the interval since the last run is over."""
        if last.ended_at < last.began_at:
            return 0.0
        # A clock that was set back makes nobody wait longer than the interval.
        return min(self.rule.every_s, max(0.0, last.ended_at + self.rule.every_s - now))

    async def opened(self) -> None:
        """Wait until a window is open."""
        while True:
            wait_s = self.opens_in_s()
            if wait_s <= 0:
                return
            await asyncio.sleep(min(wait_s, LOOK_S_MAX))

    def opens_in_s(self) -> float:
        """Say in how many seconds a window is open."""
        return opens_in_s(self.windows)


class Schedule:
    """Runs rules when their turn comes."""

    def __init__(self, rules: Rules, spawn: Spawn) -> None:
        self._rules = rules
        self._spawn = spawn

    def begin(self, wanted: Sequence[SyncRule]) -> None:
        """Run each of the rules that have an interval, from now on."""
        for rule in wanted:
            if rule.every_s:
                self._spawn(self._keep(Turn(rule, Windows(rule.windows))), f"schedule of sync {rule.name}")

    async def _keep(self, turn: Turn) -> None:
        rule = turn.rule
        while True:
            jitter_s = random.uniform(0.0, min(rule.every_s * JITTER_SHARE, JITTER_S_MAX))  # noqa: S311 - no secret
            await asyncio.sleep(turn.due_in_s(self._rules.last(rule.name), time.time()) + jitter_s)
            await turn.opened()
            run = self._rules.start(rule, turn.opens_in_s)
            await asyncio.wait({run.task})
