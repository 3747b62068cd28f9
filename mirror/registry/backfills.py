"""Backfills: what a registry has already goes to a place that its rules name.

Source: ECR guide, "Replication backfill"; ECR.md 2.4, "Backfill". A backfill asks for every image that is there, once
for each of its tags; from then on its orders are like any others, and how it stands is counted when somebody asks.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from mirror.aws.errors import (
    LimitExceeded,
    ReplicationBackfillInProgress,
    ReplicationBackfillInvalidStatus,
    ReplicationBackfillNotFound,
    ValidationFailed,
)
from mirror.oci.names import Registry, Repository
from mirror.registry.flights import Spawn
from mirror.registry.replication_routes import Routes, Way
from mirror.registry.repositories import Repositories
from mirror.store.documents import Documents, Edit
from mirror.store.images import PAGE_MAX, Images
from mirror.store.replications import Counts, Order, Place, Replications

BACKFILL: Final = "backfill"  # the kind of document; its name is the id
RUNNING_MAX: Final = 10  # ECR quota: of a registry at once
KEPT_S: Final = 90 * 86_400.0  # ECR guide: results are there for 90 days
FAILS_FROM: Final = 100  # orders that must be done before half of them refused is a failure of the whole

Status = Literal["PREPARING", "IN_PROGRESS", "COMPLETE", "FAILED", "STOPPED"]
_RUNNING: Final = ("PREPARING", "IN_PROGRESS")


class Backfill(msgspec.Struct, frozen=True):
    """One backfill. Times in unix seconds, `ended_at` 0 while it runs; `total` counts what it has asked for."""

    id: str
    region: str
    account: str
    started_at: float
    status: Status = "PREPARING"
    total: int = 0
    ended_at: float = 0.0

    @property
    def place(self) -> Place:
        return Place(self.region, self.account)


class Backfills:
    """The backfills of all registries."""

    def __init__(
        self,
        documents: Documents,
        replications: Replications,
        repositories: Repositories,
        images: Images,
        routes: Routes,
        spawn: Spawn,
    ) -> None:
        self._documents = documents
        self._replications = replications
        self._repositories = repositories
        self._images = images
        self._routes = routes
        self._spawn = spawn
        self._changing = asyncio.Lock()

    def resume(self) -> None:
        """Go on with those that an earlier process was preparing: what is asked for twice goes once."""
        for registry, _, body in self._documents.all(BACKFILL):
            found = _read(body)
            if found.status == "PREPARING":
                self._spawn(self._prepare(registry, found), f"backfill {found.id}")

    async def start(self, registry: Registry, place: Place) -> Backfill:
        """Begin a backfill to a place. Raises ValidationFailed, ReplicationBackfillInProgress, LimitExceeded."""
        if not place.account or place not in self._routes.of(registry).places():
            raise ValidationFailed("The destination is not one of the registry's replication configuration")
        async with self._changing:
            running = [one for one in await self.all(registry) if one.status in _RUNNING]
            if any(one.region == place.region for one in running):
                raise ReplicationBackfillInProgress(
                    f"A replication backfill to {place.region} is in progress in the registry with id "
                    f"'{registry.account}'"
                )
            if len(running) >= RUNNING_MAX:
                raise LimitExceeded(f"The maximum number of replication backfills at once is {RUNNING_MAX}")
            made = Backfill(str(uuid.uuid4()), place.region, place.account, time.time())
            await self._put(registry, made)
        self._spawn(self._prepare(registry, made), f"backfill {made.id}")
        return made

    async def ask_all(self, registry: Registry, place: Place) -> int:
        """Ask for all that is there to go to a destination; return for how many. Raises ValidationFailed."""
        if place not in self._routes.of(registry).places():
            raise ValidationFailed(f"The registry of {registry.account} has no destination '{place}'")
        total = 0
        async for orders in self._orders(registry, place):
            await self._replications.ask(orders, time.time())
            total += len(orders)
        return total

    async def stop(self, registry: Registry, backfill: str) -> Backfill:
        """End a backfill: what has not arrived is called off. Raises ReplicationBackfillInvalidStatus."""
        async with self._changing:
            found = await self.get(registry, backfill)
            if found.status not in _RUNNING:
                raise ReplicationBackfillInvalidStatus(f"The replication backfill '{backfill}' is {found.status}")
            stopped = replace(found, status="STOPPED", ended_at=time.time())
            await self._put(registry, stopped)
            await self._replications.call_off(backfill)
        return stopped

    async def get(self, registry: Registry, backfill: str) -> Backfill:
        """Return a backfill as it stands now. Raises ReplicationBackfillNotFound."""
        body = self._documents.get(registry, BACKFILL, backfill)
        if body is None:
            raise ReplicationBackfillNotFound(
                f"The replication backfill with id '{backfill}' does not exist in the registry with id "
                f"'{registry.account}'"
            )
        return await self._settled(registry, _read(body))

    async def all(self, registry: Registry) -> Sequence[Backfill]:
        """List the backfills of a registry, the youngest first."""
        found = [_read(body) for _, body in self._documents.list(registry, BACKFILL)]
        settled = [await self._settled(registry, one) for one in found]
        return sorted(settled, key=lambda one: (-one.started_at, one.id))

    async def counts(self, backfill: Backfill) -> Counts:
        return await self._replications.counts(backfill.id)

    async def _settled(self, registry: Registry, found: Backfill) -> Backfill:
        """Take note of the end of a backfill that nothing is waiting for any more."""
        if found.status != "IN_PROGRESS":
            return found
        counts = await self.counts(found)
        if counts.waiting:
            return found
        done = counts.complete + counts.failed
        failed = done >= FAILS_FROM and 2 * counts.failed >= done
        ended = replace(found, status="FAILED" if failed else "COMPLETE", ended_at=counts.ended_at or time.time())
        await self._put(registry, ended)
        return ended

    async def _prepare(self, registry: Registry, backfill: Backfill) -> None:
        """Ask for all that is there; a stop in between ends it."""
        total = 0
        async for orders in self._orders(registry, backfill.place):
            async with self._changing:
                if not self._is_preparing(registry, backfill):
                    return
                await self._replications.ask(orders, time.time(), backfill=backfill.id)
            total += len(orders)
        async with self._changing:
            if self._is_preparing(registry, backfill):
                await self._put(registry, replace(backfill, status="IN_PROGRESS", total=total))

    def _is_preparing(self, registry: Registry, backfill: Backfill) -> bool:
        body = self._documents.get(registry, BACKFILL, backfill.id)
        return body is not None and _read(body).status == "PREPARING"

    async def _orders(self, registry: Registry, place: Place) -> AsyncIterator[list[Order]]:
        route = self._routes.of(registry)
        for repository in self._repositories.all(registry):
            way = next((one for one in route.ways(repository.name) if one.place == place), None)
            if repository.owned and way is not None:
                async for orders in self._of(repository, way):
                    yield orders

    async def _of(self, repository: Repository, way: Way) -> AsyncIterator[list[Order]]:
        after = ""
        while page := await self._images.page(repository, after=after, status="ACTIVE"):
            yield [
                Order(repository, way.place, "PUT", image.digest, tag)
                for image in page
                for tag in image.tags or ("",)
                if way.takes(tag)
            ]
            if len(page) < PAGE_MAX:
                return
            after = str(page[-1].digest)

    async def _put(self, registry: Registry, backfill: Backfill) -> None:
        old = [
            Edit(registry, BACKFILL, name, None)
            for name, body in self._documents.list(registry, BACKFILL)
            if 0 < _read(body).ended_at < time.time() - KEPT_S
        ]
        await self._documents.write([*old, Edit(registry, BACKFILL, backfill.id, msgspec.json.encode(backfill))])


def _read(body: bytes) -> Backfill:
    return msgspec.json.decode(body, type=Backfill)
