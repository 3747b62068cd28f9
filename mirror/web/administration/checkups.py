"""Checkups over the administration socket: told as a stream of JSON lines, the last of which is the result.

    {"event": "fault", "digest": "sha256:...", "fault": "wrong bytes", "outcome": "healed"}
    {"event": "moving", "blobs": 120, "total": 3000, "bytes": 1048576, ...}      at least once in BEAT_S
    {"event": "result", "blobs": 3000, ...}

Who goes away stops it.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from mirror.registry.checkups import Checkup, Checkups, Counts, Found
from mirror.web.administration.asks import Verify
from mirror.web.administration.desk import Verbs
from mirror.web.administration.streams import BEAT_S, json_lines, tell


class Told:
    """A checkup as it is told: it ends with whoever listens."""

    def __init__(self, checkup: Checkup) -> None:
        self._checkup = checkup

    async def send(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer with what is found as it is. Raises ConnectionError when the client has gone."""
        checkup = self._checkup
        response = json_lines()
        try:
            await response.prepare(request)
            while not checkup.task.done() or not checkup.found.empty():
                try:
                    async with asyncio.timeout(BEAT_S):
                        found = await checkup.found.get()
                except TimeoutError:
                    await tell(response, _line("moving", checkup.counts))
                    continue
                if found is None:
                    break
                await tell(response, _line("fault", found))
            await tell(response, _line("result", checkup.counts))
            await response.write_eof()
        finally:
            checkup.task.cancel()
        return response


class CheckupDesk:
    """Answers `/store`."""

    def __init__(self, checkups: Checkups) -> None:
        self._checkups = checkups

    def verbs(self) -> Verbs:
        return {Verify: self._verify}

    async def _verify(self, _: str, ask: Verify) -> Told:
        return Told(self._checkups.begin(repair=ask.repair))


def _line(event: str, told: Found | Counts) -> Mapping[str, Any]:
    return {"event": event, **msgspec.to_builtins(told)}
