"""The status of the node: one answer with what an operator looks at first.

Counts are those since the start of the process, as /metrics has them; who wants rates asks twice. Times in unix
seconds, durations in seconds, sizes in bytes.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from mirror import __version__, telemetry
from mirror.registry.fill import Fill
from mirror.registry.fills import Fills
from mirror.registry.repositories import Repositories
from mirror.registry.syncing import Syncs
from mirror.registry.view.measures import Measures
from mirror.upstream.health import Standing

# How many connections clients have; and that many clients' addresses, each with how many of them are its own.
Busiest = Callable[[int], tuple[int, list[tuple[str, int]]]]

CLIENTS_MAX: Final = 5  # in one answer, those with the most connections
FILLS_MAX: Final = 100  # in one answer, oldest first; all are counted


class UpstreamStatus(msgspec.Struct, frozen=True, rename="camel"):
    """How an upstream stands and what it was asked. `hit_ratio` is the share of pulls that cost it nothing."""

    name: str
    reachable: bool
    reason: str
    wait_s: float
    calls_left: int | None
    calls: int | None
    answered_s: float | None
    hits: int
    joins: int
    misses: int
    stale: int
    hit_ratio: float | None
    bytes: int
    requests: int
    answer_s: float


class FillStatus(msgspec.Struct, frozen=True, rename="camel"):
    """A fetch into the store that is under way; `size` is None as long as upstream has not told it."""

    digest: str
    upstream: str
    repository: str
    bytes: int
    size: int | None
    readers: int
    background: bool


class JobStatus(msgspec.Struct, frozen=True, rename="camel"):
    """When a job of the node's ended last and begins again; 0 for not yet, or not by itself."""

    name: str
    ended_at: float
    next_at: float
    failed: bool


class PlaceStatus(msgspec.Struct, frozen=True, rename="camel"):
    """How far a place that images are replicated to is behind, as it was seconds ago."""

    region: str
    account: str
    waiting: int
    failed: int
    lag_s: float


class Status(msgspec.Struct, frozen=True, rename="camel"):
    """How the node stands; `fault` says why it is not ready, "" when it is; `cache_bytes_max` is 0 for no limit."""

    version: str
    at: float
    uptime_s: float
    fault: str
    blobs: int
    bytes: int
    cache_bytes: int
    cache_bytes_max: int
    disk_free: int
    disk: int
    connections: int
    clients: list[tuple[str, int]]
    requests: int
    sent_bytes: int
    loop_lag_s: float
    fills_count: int
    fills: list[FillStatus]
    upstreams: list[UpstreamStatus]
    places: list[PlaceStatus]
    jobs: list[JobStatus]


class Statuses:
    """Says how the node stands."""

    def __init__(
        self,
        measures: Measures,
        fills: Fills,
        syncs: Syncs,
        repositories: Repositories,
        fault: Callable[[], Awaitable[str]],
        busiest: Busiest,
        *,
        cache_bytes_max: int,
    ) -> None:
        self._measures = measures
        self._fills = fills
        self._syncs = syncs
        self._repositories = repositories
        self._fault = fault
        self._busiest = busiest
        self._cache_bytes_max = cache_bytes_max
        self._began_at = time.monotonic()

    async def tell(self) -> Status:
        """Say how the node stands."""
        await self._measures.take()
        sizes, fills = self._measures.sizes, self._fills.all()
        connections, clients = self._busiest(CLIENTS_MAX)
        return Status(
            version=__version__,
            at=time.time(),
            uptime_s=time.monotonic() - self._began_at,
            fault=await self._fault(),
            blobs=sizes.blobs,
            bytes=sizes.blob_bytes,
            cache_bytes=int(telemetry.reading(telemetry.CACHE_BYTES)),
            cache_bytes_max=self._cache_bytes_max,
            disk_free=sizes.disk_free,
            disk=sizes.disk,
            connections=connections,
            clients=clients,
            requests=int(telemetry.reading(telemetry.REQUESTS, "_total")),
            sent_bytes=int(telemetry.reading(telemetry.RESPONSE_BYTES, "_total")),
            loop_lag_s=telemetry.reading(telemetry.LOOP_LAG_MAX),
            fills_count=len(fills),
            fills=[self._fill(fill) for fill in fills[:FILLS_MAX]],
            upstreams=_upstreams(self._measures.standings()),
            places=_places(),
            jobs=[*_jobs(), *self._sync_jobs()],
        )

    def _fill(self, fill: Fill) -> FillStatus:
        repository = fill.source.repository
        return FillStatus(
            digest=str(fill.digest),
            upstream=repository.upstream,
            repository=self._repositories.name(repository),
            bytes=fill.staged.front,
            size=fill.size,
            readers=fill.readers,
            background=fill.pace is not None,
        )

    def _sync_jobs(self) -> list[JobStatus]:
        found = []
        for rule in self._syncs.rules.values():
            last = self._syncs.last(rule.name)
            next_at = last.ended_at + rule.every_s if rule.every_s and last.ended_at else 0.0
            found.append(JobStatus(f"sync {rule.name}", last.ended_at, next_at, last.failed > 0))
        return found


def _upstreams(standings: dict[str, Standing]) -> list[UpstreamStatus]:
    pulls = telemetry.readings(telemetry.PULLS, "_total")
    fetched = telemetry.readings(telemetry.FILL_BYTES, "_total")
    took_s = telemetry.readings(telemetry.UPSTREAM_ANSWER, "_sum")
    answers = telemetry.readings(telemetry.UPSTREAM_ANSWER, "_count")
    found = []
    for name, standing in standings.items():
        counts = {"hit": 0, "joined": 0, "filled": 0, "stale": 0}
        for (upstream, _, outcome), count in pulls.items():
            if upstream == name and outcome in counts:
                counts[outcome] += int(count)
        free, count = counts["hit"] + counts["joined"], int(answers.get((name,), 0))
        asked = free + counts["filled"]
        found.append(
            UpstreamStatus(
                name=name,
                **{field: getattr(standing, field) for field in Standing.__dataclass_fields__},
                hits=counts["hit"],
                joins=counts["joined"],
                misses=counts["filled"],
                stale=counts["stale"],
                hit_ratio=free / asked if asked else None,
                bytes=int(fetched.get((name,), 0)),
                requests=count,
                answer_s=took_s.get((name,), 0.0) / count if count else 0.0,
            )
        )
    return found


def _places() -> list[PlaceStatus]:
    failed, lag_s = telemetry.readings(telemetry.REPLICATION_FAILED), telemetry.readings(telemetry.REPLICATION_LAG)
    return [
        PlaceStatus(region, account, int(waiting), int(failed[region, account]), lag_s[region, account])
        for (region, account), waiting in telemetry.readings(telemetry.REPLICATION_WAITING).items()
    ]


def _jobs() -> list[JobStatus]:
    due, failed = telemetry.readings(telemetry.JOB_NEXT), telemetry.readings(telemetry.JOB_FAILED)
    ended = telemetry.readings(telemetry.JOB_ENDED)
    return [JobStatus(job[0], at, due[job], bool(failed[job])) for job, at in ended.items()]
