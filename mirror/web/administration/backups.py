"""Snapshots of the database for a backup, told as a stream of JSON lines, the last of which is the result.

{"event": "moving", "done": 4000, "total": 9000}       pages, once in BEAT_S
{"event": "result", "snapshot": "snapshot-....db", "failure": ""}
"""

import asyncio
import sqlite3
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from mirror.store.snapshot import Snapshots
from mirror.web.administration.asks import TakeSnapshot
from mirror.web.administration.desk import Verbs
from mirror.web.administration.streams import BEAT_S, json_lines, tell


class SnapshotStream:
    """One snapshot that is being made."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._done = self._total = 0

    async def send(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer with how it goes. Raises ConnectionError when the client has gone."""
        response = json_lines()
        await response.prepare(request)
        async with asyncio.TaskGroup() as group:
            taking = group.create_task(self._take(), name="snapshot")
            while not (await asyncio.wait({taking}, timeout=BEAT_S))[0]:
                await tell(response, {"event": "moving", "done": self._done, "total": self._total})
        await tell(response, taking.result())
        await response.write_eof()
        return response

    async def _take(self) -> Mapping[str, Any]:
        """Return the result, whatever it is: the head is sent, so nothing else can say no."""
        try:
            return {"event": "result", "snapshot": await self._snapshots.take(self._moved), "failure": ""}
        except (OSError, sqlite3.Error) as error:
            return {"event": "result", "snapshot": "", "failure": str(error)}

    def _moved(self, done: int, total: int) -> None:
        self._done, self._total = done, total


class BackupDesk:
    """Answers `/backups`."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots

    def verbs(self) -> Verbs:
        return {TakeSnapshot: self._snapshot}

    async def _snapshot(self, _: str, __: TakeSnapshot) -> SnapshotStream:
        return SnapshotStream(self._snapshots)
