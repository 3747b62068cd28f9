"""Runs that an administrator asks for or watches: told as a stream of JSON lines, the last of which is the result.

    {"event": "image", "rule": "base-images", "image": "docker.io/library/alpine:3.20", "state": "new", ...}
    {"event": "moving", "rule": "base-images", "bytes": 1048576, "total": 3145728}      at least once in BEAT_S
    {"event": "result", "outcomes": [{"rule": "base-images", "images": 12, ...}]}

Who goes away stops what is theirs alone, a plan or single images; a rule's run goes on.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec
from aiohttp import web

from mirror.aws.errors import InvalidParameter
from mirror.oci.errors import RegistryError
from mirror.registry.syncing import Ended, Event, Listener, Run, Syncs
from mirror.rules.syncing import SyncRule, read_image
from mirror.web.administration.asks import ListSyncs, PlanSyncs, RunSyncs, Warm
from mirror.web.administration.desk import Verbs
from mirror.web.administration.streams import BEAT_S, json_lines, tell

EVENTS_MAX: Final = 1_000  # waiting for one client
IMAGES_MAX: Final = 1_000  # of one warming
WARM: Final = "warm"


class Stream:
    """The events of some runs, until all of them are over. `owned`: they end with whoever listens."""

    def __init__(self, runs: Sequence[Run], *, owned: bool) -> None:
        self._runs = runs
        self._owned = owned
        self._events: Listener = asyncio.Queue(EVENTS_MAX)

    async def send(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer with the events as they come. Raises ConnectionError when the client has gone."""
        response = json_lines()
        for run in self._runs:
            run.tally.listen(self._events)
        try:
            await response.prepare(request)
            while not all(run.tally.is_over for run in self._runs) or not self._events.empty():
                for event in await self._next():
                    await tell(response, event)
            await tell(response, self._result())
            await response.write_eof()
        finally:
            self._leave()
        return response

    async def _next(self) -> Collection[Event]:
        """Wait for the next event, for a moment; then say how far things are."""
        try:
            async with asyncio.timeout(BEAT_S):
                event = await self._events.get()
        except TimeoutError:
            return [run.tally.moving() for run in self._runs if not run.tally.is_over]
        # What has ended is told with the others, at the end.
        return [] if isinstance(event, Ended) else [event]

    def _result(self) -> Mapping[str, Any]:
        outcomes = [msgspec.to_builtins(run.tally.outcome) for run in self._runs]
        planned = [msgspec.to_builtins(one) for run in self._runs for one in run.tally.plan or ()]
        return {"event": "result", "outcomes": outcomes, "images": planned}

    def _leave(self) -> None:
        for run in self._runs:
            run.tally.leave(self._events)
            if self._owned:
                run.task.cancel()


class SyncDesk:
    """Answers `/syncs`."""

    def __init__(self, syncs: Syncs) -> None:
        self._syncs = syncs

    def verbs(self) -> Verbs:
        return {RunSyncs: self._run, PlanSyncs: self._plan, Warm: self._warm, ListSyncs: self._list}

    async def _run(self, _: str, ask: RunSyncs) -> Stream:
        return Stream([self._syncs.start(rule) for rule in self._syncs.named(ask.names)], owned=False)

    async def _plan(self, _: str, ask: PlanSyncs) -> Stream:
        return Stream([self._syncs.plan(rule) for rule in self._syncs.named(ask.names)], owned=True)

    async def _warm(self, _: str, ask: Warm) -> Stream:
        return Stream([self._syncs.warm(_rule(ask))], owned=True)

    async def _list(self, _: str, __: ListSyncs) -> Mapping[str, Any]:
        """Say of each rule what its last run brought, and how far the present one is."""
        return {"syncs": [_status(self._syncs, rule) for rule in self._syncs.rules.values()]}


def _status(syncs: Syncs, rule: SyncRule) -> Mapping[str, Any]:
    running = syncs.running(rule.name)
    return {
        "name": rule.name,
        "everyS": rule.every_s,
        "last": msgspec.to_builtins(syncs.last(rule.name)),
        "running": None if running is None else msgspec.to_builtins(running),
    }


def _rule(ask: Warm) -> SyncRule:
    if not 0 < len(ask.images) <= IMAGES_MAX:
        raise InvalidParameter(f"1 to {IMAGES_MAX} images are taken at once")
    for image in ask.images:
        try:
            read_image(image)
        except RegistryError as error:
            raise InvalidParameter(f"{image[:200]!r} is no image: {error.message}") from None
    return SyncRule(WARM, images=tuple(ask.images), platforms=tuple(ask.platforms), referrers=ask.referrers)
