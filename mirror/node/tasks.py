"""The node's tasks: each has an owner and a name, and a failure ends only itself."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from mirror import telemetry


class Tasks:
    """The node's task group. Work that fails is logged, and ends only itself."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._running: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = self._group.create_task(_guarded(work, name), name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def cancel(self) -> None:
        for task in list(self._running):
            task.cancel()


async def _guarded(work: Coroutine[Any, Any, None], name: str) -> None:
    try:
        await work
    except Exception:  # noqa: BLE001 - one task's fault must not take the node down
        telemetry.log.exception("task failed", task=name)
