"""Healing: bytes that are lost here come back from whoever has them, by themselves.

Source: issue section "Integrity". Bytes of an upstream's come from that upstream, by the fills and the budget of
clients' pulls; our own from an upstream that has the same, or from the node of another region. What nobody has is told
of: in the log, in a metric, and by every scrub until it is back or its name is gone.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from math import inf
from typing import Final, Literal, Protocol

from mirror import telemetry
from mirror.oci.digest import Digest, digest_of
from mirror.oci.errors import RegistryError
from mirror.oci.names import Repository
from mirror.registry.fills import Fills
from mirror.registry.flights import Flights
from mirror.registry.pull import PullManifests
from mirror.registry.pull_blobs import PullBlobs
from mirror.store.examination import Fault
from mirror.store.holders import Holder
from mirror.store.store import Store
from mirror.upstream.body import BlobBody
from mirror.upstream.throttle import Throttle

AGAIN_S: Final = 60.0  # clients ask again at once, and peers each other
TRIED_MAX: Final = 10_000

Outcome = Literal["healed", "missed", "lost"]


class Peer(Protocol):
    """The registry of one account at another node."""

    @property
    def what(self) -> str: ...

    async def get_manifest(self, name: str, digest: Digest) -> bytes | None: ...

    def get_blob(
        self, name: str, digest: Digest, start: int, end: int | None
    ) -> AbstractAsyncContextManager[BlobBody]: ...


Peers = Callable[[str], Sequence[Peer]]  # those that may have images of an account


@dataclass(frozen=True, slots=True)
class PeerSource:
    """A repository of our own, at a peer: where a fill gets its bytes."""

    repository: Repository
    peer: Peer

    def get_blob(self, digest: Digest, start: int = 0, end: int | None = None) -> AbstractAsyncContextManager[BlobBody]:
        return self.peer.get_blob(self.repository.name, digest, start, end)


class Healing:
    """Brings bytes back."""

    def __init__(
        self,
        store: Store,
        fills: Fills,
        blobs: PullBlobs,
        manifests: PullManifests,
        flights: Flights,
        throttle: Throttle,
        peers: Peers,
    ) -> None:
        self._store = store
        self._fills = fills
        self._blobs = blobs
        self._manifests = manifests
        self._flights = flights
        self._throttle = throttle
        self._peers = peers
        self._tried: dict[Digest, float] = {}  # when (monotonic seconds), for those who ask

    async def mend(self, fault: Fault) -> Outcome:
        """Do about a fault what can be done: here, else with what others have. Raises StorageFull and OSError."""
        if await self._store.losses.repair(fault):
            telemetry.DAMAGE_HEALED.inc()
            return "healed"
        return await self.heal(fault.digest)

    def begin(self, digest: Digest) -> None:
        """Bring a digest back some time soon, unless that was tried a moment ago: somebody has asked for it.

        It may be a node that has lost it too, which we would ask, which would ask us.
        """
        now = time.monotonic()
        if now - self._tried.get(digest, -inf) < AGAIN_S:
            return
        self._tried.pop(digest, None)
        self._tried[digest] = now
        if len(self._tried) > TRIED_MAX:
            del self._tried[next(iter(self._tried))]
        self._flights.launch(("heal", digest), lambda: self._heal(digest))

    async def heal(self, digest: Digest) -> Outcome:
        """Bring a digest back that is not here. `missed`: the next pull asks its upstream again; `lost`: it is ours."""
        return await self._flights.join(("heal", digest), lambda: self._heal(digest))

    async def _heal(self, digest: Digest) -> Outcome:
        if self._store.index.blob(digest) is not None:
            return "healed"
        holders = await self._store.holders.of(digest)
        reasons: list[str] = []
        for holder in sorted(holders, key=lambda one: one.repository.owned):
            await self._ask(holder, digest, reasons)
            if self._store.index.blob(digest) is not None:
                telemetry.DAMAGE_HEALED.inc()
                telemetry.log.info("bytes healed", digest=str(digest), repository=str(holder.repository))
                return "healed"
        if not any(holder.repository.owned for holder in holders):
            return "missed"
        names = [str(holder.repository) for holder in holders if holder.repository.owned]
        telemetry.log.error("bytes lost: nobody has them", digest=str(digest), repositories=names, tried=reasons)
        return "lost"

    async def _ask(self, holder: Holder, digest: Digest, reasons: list[str]) -> None:
        """Have a repository's bytes brought, by whoever is there for that. Why not goes to `reasons`."""
        ask = self._ask_peers if holder.repository.owned else self._ask_upstream
        try:
            await ask(holder, digest, reasons)
        except RegistryError as error:
            reasons.append(error.message)

    async def _ask_upstream(self, holder: Holder, digest: Digest, _: list[str]) -> None:
        if holder.is_manifest:
            await self._manifests.pull(holder.repository, digest)
        else:
            await self._blobs.fetch(holder.repository, digest, self._throttle)

    async def _ask_peers(self, holder: Holder, digest: Digest, reasons: list[str]) -> None:
        for peer in self._peers(holder.repository.registry.account):
            try:
                await self._ask_peer(peer, holder, digest)
            except RegistryError as error:
                reasons.append(error.message)
            if self._store.index.blob(digest) is not None:
                return

    async def _ask_peer(self, peer: Peer, holder: Holder, digest: Digest) -> None:
        if holder.is_manifest:
            data = await peer.get_manifest(holder.repository.name, digest)
            if data is not None and digest_of(data, digest.algorithm) == digest:
                await self._keep(digest, data)
            return
        size = holder.size if holder.size >= 0 else None
        source = PeerSource(holder.repository, peer)
        await self._fills.join(digest, size, source, self._throttle).ended()

    async def _keep(self, digest: Digest, data: bytes) -> None:
        files = self._store.files
        async with self._store.guard.hold(digest):
            await asyncio.to_thread(files.write, digest, data)
            await self._store.index.write(lambda index: index.find_blob(digest, files.entry))
