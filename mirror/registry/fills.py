"""The fills under way: one per digest, whatever the name that was asked for."""

import asyncio
import os
from contextlib import suppress
from typing import Final

import structlog

from mirror import telemetry
from mirror.oci.digest import Digest
from mirror.oci.errors import RegistryError, StorageFull, Unavailable, UpstreamError
from mirror.registry.fill import Fill
from mirror.registry.flights import Spawn
from mirror.registry.pacing import Clients, Pace
from mirror.registry.sides import BlobSource
from mirror.store.disk import full_disk_refused
from mirror.store.entries import INLINE_BYTES_MAX, BlobEntry
from mirror.store.files import Files
from mirror.store.guard import Guard
from mirror.store.index import Index
from mirror.store.space import Space
from mirror.store.sparse import SparseFile
from mirror.upstream.throttle import Throttle

FILLS_MAX: Final = 1_000  # each holds one file descriptor and up to 2 MiB of bytes between socket and disk

log = structlog.get_logger()


class Fills:
    """The fills under way, one per digest."""

    def __init__(self, files: Files, index: Index, guard: Guard, space: Space, spawn: Spawn) -> None:
        self._guard = guard
        self._space = space
        space.claims.append(self._unwritten)
        self._files = files
        self._index = index
        self._spawn = spawn
        self._under_way: dict[Digest, Fill] = {}
        self.clients = Clients()

    def find(self, digest: Digest) -> Fill | None:
        return self._under_way.get(digest)

    def all(self) -> list[Fill]:
        """List the fills under way, oldest first."""
        return [*self._under_way.values()]

    def join(self, digest: Digest, size: int | None, source: BlobSource, background: Throttle | None = None) -> Fill:
        """Return the one fill of `digest`, started if need be. Not async on purpose: no await, so no race.

        With `background` no client waits for it: it keeps to that cap and gives way, until one joins.
        """
        fill = self._under_way.get(digest)
        if fill is None:
            if len(self._under_way) >= FILLS_MAX:
                raise Unavailable(f"{FILLS_MAX} blobs are being fetched already", headers={"Retry-After": "5"})
            staged = SparseFile(self._files.fill_path(digest), digest)
            pace = None if background is None else Pace(self.clients, background)
            fill = Fill(digest, size, source, staged, self._spawn, self._space, pace)
            self._under_way[digest] = fill
            if pace is None:
                self.clients.came()
            self._spawn(self._run(fill), f"fill {digest}")
        elif background is None and fill.pace is not None:
            self._claim(fill, fill.pace)
        return fill

    def _unwritten(self) -> int:
        return sum(fill.unwritten() for fill in self._under_way.values())

    async def _run(self, fill: Fill) -> None:
        """See one fill through. Whoever comes after it finds the blob in the index, or begins the next fill."""
        error: RegistryError | None = Unavailable("the node is stopping")
        try:
            with telemetry.span("blob fill", repository=fill.source.repository, digest=fill.digest) as span:
                error = await self._outcome(fill)
                span.note(size=fill.size)
                if error is not None:
                    span.failed(type(error).__name__)
        finally:
            # Nothing of this fill touches the staged file any more: the next one may open it.
            del self._under_way[fill.digest]
            if fill.pace is None:
                self.clients.left()
            fill.finish(error)

    def _claim(self, fill: Fill, pace: Pace) -> None:
        """Make a fill in the background a client's."""
        fill.pace = None
        self.clients.came()
        pace.hurry()

    async def _outcome(self, fill: Fill) -> RegistryError | None:
        """Fetch, verify, publish, index; return what went wrong."""
        try:
            with telemetry.FILLS.track_inprogress():
                await fill.run()
                await self._publish(fill)
        except StorageFull as refusal:
            await self._give_up(fill)
            return refusal
        except RegistryError as refusal:
            return await self._keep_partial(fill, refusal)
        except OSError as fault:
            return await self._keep_partial(fill, UpstreamError(f"{fill.digest} is not written: {fault.strerror}"))
        except asyncio.CancelledError:
            await self._keep_partial(fill, Unavailable("the node is stopping"))
            raise
        return None

    async def _keep_partial(self, fill: Fill, error: RegistryError) -> RegistryError:
        """Leave what came for the next try, in this process or a later one."""
        log.warning("fill failed", digest=str(fill.digest), front=fill.staged.front, reason=error.message)
        with suppress(OSError):
            await asyncio.to_thread(fill.staged.write_note)
        return error

    async def _give_up(self, fill: Fill) -> None:
        """Let a full disk have the room of what came; readers have the file open, and go on from its front."""
        staged = fill.staged
        with suppress(OSError):
            if staged.readable_end(staged.front) > staged.front:
                await asyncio.to_thread(staged.hash_to, staged.readable_end(staged.front))
            await asyncio.to_thread(staged.discard)
        if staged.front:
            self._space.look_again()

    async def _publish(self, fill: Fill) -> None:
        assert fill.size is not None
        async with self._guard.hold(fill.digest):
            with full_disk_refused():
                data = None
                if fill.size <= INLINE_BYTES_MAX:
                    data = await asyncio.to_thread(os.pread, fill.staged.file.fileno(), fill.size, 0)
                await asyncio.to_thread(self._files.publish, fill.staged.path, fill.digest)
                await asyncio.to_thread(fill.staged.forget)
            await self._index.put_blob(fill.digest, BlobEntry(fill.size, fill.staged.checksum(), data))
