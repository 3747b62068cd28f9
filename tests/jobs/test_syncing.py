"""The schedule: when a rule's turn comes, and what a window holds back."""

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from mirror.jobs import syncing as schedule_module
from mirror.jobs.syncing import Schedule, Turn
from mirror.registry.syncing import OpensIn, Outcome, Run, Tally
from mirror.registry.syncing import syncs as syncs_module
from mirror.rules.syncing import SyncRule
from mirror.rules.windows import Windows

NOW = 1_800_000_000.0
HOURLY = SyncRule("base", every_s=3_600)
MONDAY_NOON = time.struct_time((2027, 1, 4, 12, 0, 0, 0, 4, 0))
MONDAY_NIGHT = time.struct_time((2027, 1, 4, 23, 0, 0, 0, 4, 0))


@pytest.mark.parametrize(
    ("last", "due_in_s"),
    [
        (Outcome("base"), 0.0),  # never ran
        (Outcome("base", NOW - 700, NOW - 600), 3_000.0),
        (Outcome("base", NOW - 7_200, NOW - 3_600), 0.0),
        (Outcome("base", NOW - 60), 0.0),  # was cut short
        (Outcome("base", NOW + 90_000, NOW + 90_001), 3_600.0),  # the clock was set back
    ],
)
def test_a_turn_comes_an_interval_after_the_end_of_the_last_run(last: Outcome, due_in_s: float) -> None:
    """`every_s` after the end of the last run, also over a restart."""
    assert Turn(HOURLY, Windows(())).due_in_s(last, NOW) == due_in_s


def test_windows_are_of_the_nodes_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """`windows` by the node's clock."""
    turn = Turn(HOURLY, Windows(("22:00-06:00",)))
    monkeypatch.setattr(schedule_module.time, "localtime", lambda: MONDAY_NOON)
    assert turn.opens_in_s() == 10 * 3_600
    monkeypatch.setattr(schedule_module.time, "localtime", lambda: MONDAY_NIGHT)
    assert turn.opens_in_s() == 0.0


class Rules:
    """Runs that end when they are let."""

    def __init__(self) -> None:
        self.started: list[tuple[str, float]] = []
        self.ends = asyncio.Event()

    def last(self, name: str) -> Outcome:
        return Outcome(name)

    def start(self, rule: SyncRule, opens_in: OpensIn) -> Run:
        self.started.append((rule.name, opens_in()))
        run = Run(Tally(rule.name), opens_in, asyncio.Event())
        run.task = asyncio.get_running_loop().create_task(self._run())
        return run

    async def _run(self) -> None:
        await self.ends.wait()


async def test_a_run_begins_in_a_window_only_and_the_next_when_it_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run is begun only in a window; a rule never runs twice at once; no interval means on demand."""
    monkeypatch.setattr(schedule_module, "LOOK_S_MAX", 0.001)
    monkeypatch.setattr(schedule_module.time, "localtime", lambda: MONDAY_NOON)
    rules, tasks = Rules(), list[asyncio.Task[None]]()

    def spawn(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        tasks.append(asyncio.get_running_loop().create_task(work, name=name))
        return tasks[-1]

    nightly = SyncRule("nightly", every_s=0.001, windows=("22:00-06:00",))
    Schedule(rules, spawn).begin([nightly, SyncRule("on-demand")])
    assert len(tasks) == 1
    await asyncio.sleep(0.05)
    assert rules.started == []
    monkeypatch.setattr(schedule_module.time, "localtime", lambda: MONDAY_NIGHT)

    async def begun() -> int:
        return len(rules.started)

    assert await until(begun) == 1
    await asyncio.sleep(0.05)
    assert rules.started == [("nightly", 0.0)]
    rules.ends.set()
    assert await until(lambda: _more(rules))
    tasks[0].cancel()
    await asyncio.wait(tasks)


async def _more(rules: Rules) -> bool:
    return len(rules.started) > 2


async def test_a_run_waits_for_its_window_until_somebody_wants_it_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It pauses between images when the window closes; `mirror sync run` does not wait for the night."""
    monkeypatch.setattr(syncs_module, "LOOK_S_MAX", 3_600.0)
    opens_in = [0.0]
    run = Run(Tally("base"), lambda: opens_in[0], asyncio.Event())
    await run.gate()
    opens_in[0] = 36_000.0
    waiting = asyncio.ensure_future(run.gate())
    await asyncio.sleep(0)
    assert not waiting.done()
    run.released.set()
    await asyncio.wait_for(waiting, 5)
