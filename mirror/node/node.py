"""One running node: the order of start and stop.

Start: store (locked, replayed), identities, upstreams (none is called: a node starts with no network), door. Stop: not
ready, no new connections, transfers finish within `[server] drain_s`, tasks, store.
"""

import asyncio
import gc
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any, Final

from mirror import __version__, telemetry
from mirror.config import Settings
from mirror.jobs.archive import Archivist
from mirror.jobs.disk import watch_disk
from mirror.jobs.lag import watch_lag
from mirror.jobs.lifecycle import LifecycleJob
from mirror.jobs.scrub import ScrubJob
from mirror.jobs.sweep import sweep
from mirror.node.assembly import House, build
from mirror.node.certificate import tls_context
from mirror.node.control import build_control
from mirror.node.doorway import build_server
from mirror.node.identities import open_identities, rotate
from mirror.node.notify import Notifier
from mirror.node.probes import Probes
from mirror.node.reload import Reload
from mirror.node.replication import spawn_replication
from mirror.node.syncing import build_syncs, spawn_syncs
from mirror.node.tasks import Tasks
from mirror.node.view import build_view
from mirror.node.watchdog import watch
from mirror.node.webhooks import spawn_webhooks
from mirror.registry.audit import Audit, AuditFile
from mirror.store.store import Store
from mirror.upstream.limits import Limits
from mirror.web.access_log import AccessLog
from mirror.web.admin_socket import NAME as ADMIN_SOCKET
from mirror.web.admin_socket import open_socket
from mirror.web.listen import inherited, listen, names
from mirror.web.listener import Listener
from mirror.web.ops import Handler, Ops
from mirror.web.server import Server, stop_s_max
from mirror.web.slow import SlowClock

CLOSE_S_MAX: Final = 15.0  # what a stop takes after the last connection: times of pulls, the ledger, the databases
LOCAL_CONNECTIONS_MAX: Final = 64  # commands of one machine's administrator
GARBAGE_OBJECTS_MIN: Final = 10_000  # a request makes some hundred objects, nearly none in cycles
DISK_THREADS: Final = 16  # writes, hashing and fsync: more than cores, since most of it waits for the disk


class Node:
    """One running node."""

    def __init__(
        self,
        settings: Settings,
        *,
        clocks: Limits | None = None,
        alone: bool = False,
        read: Callable[[], Settings] | None = None,
    ) -> None:
        """Take `settings`; `read` reads them again. `clocks` are those of the upstreams, shorter in tests.

        A node that is `alone` listens on its administration socket only, and tells nobody of anything.
        """
        self._alone = alone
        self._settings = settings
        self._clocks = clocks
        self._stopping = asyncio.Event()
        self._house: House | None = None
        self._server: Server | None = None
        self._tls = tls_context(settings.server.tls)
        self._notifier = Notifier({} if alone else os.environ, os.getpid())
        self._access = AccessLog(enabled=settings.log.access)
        self._reload = Reload(settings, read, self._tls, self._notifier, self._access)
        self.addresses: list[str] = []

    async def run(self, started: Callable[["Node"], None] = lambda _: None) -> None:
        """Serve until `stop`; `started` is told when the node accepts. Raises OSError, StoreLocked, ssl.SSLError."""
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(DISK_THREADS, thread_name_prefix="disk"))
        loop.set_exception_handler(_log_loose)
        # Two groups: the work that uses the store has ended before the store's own loop does.
        async with (
            asyncio.TaskGroup() as group,
            self._store(Tasks(group)) as store,
        ):
            await self._work(store, started)

    def _store(self, tasks: Tasks) -> AbstractAsyncContextManager[Store]:
        storage = self._settings.storage
        archive_root = Path(storage.archive_root) if storage.archive_root else None
        return Store.open(storage.root, tasks.spawn, home=self._settings.home, archive_root=archive_root)

    async def _work(self, store: Store, started: Callable[["Node"], None]) -> None:
        settings = self._settings
        known = await open_identities(settings, store, alone=self._alone)
        async with asyncio.TaskGroup() as group, AsyncExitStack() as stack:
            tasks = Tasks(group)
            stack.callback(tasks.cancel)
            audit = await self._open_audit(stack)
            house = self._house = build(settings, store, known, tasks, audit, self._clocks)
            stack.push_async_callback(house.upstreams.close)
            stack.push_async_callback(house.peers.close)
            await house.pull_through.apply()
            slow = SlowClock()
            syncs = build_syncs(house)
            probes = Probes(store, tasks.spawn, self._stopping.is_set)
            control = await build_control(
                house, syncs, slow, build_view(house, syncs, self._fault(probes), self._busiest)
            )
            ops = Ops(probes.look, house.measures.take)
            server = self._server = build_server(house, control, slow, ops, self._access)
            tasks.spawn(slow.run(), "slow clients")
            tasks.spawn(sweep(store.uploads, store.pruning), "sweep")
            tasks.spawn(watch_disk(store.reserve, store.space), "disk")
            tasks.spawn(house.pull_times.run(), "times of pulls")
            tasks.spawn(rotate(known.signing_keys), "signing keys")
            if self._alone:
                store.guard.serve_nobody()
            else:
                tasks.spawn(house.collector.run(), "collection")
                tasks.spawn(house.collector.patrol(), "walk of blobs")
                tasks.spawn(house.evictor.run(), "eviction")
                tasks.spawn(Archivist(store.archiving, house.fills.clients).run(), "archive")
                await spawn_webhooks(house)
                spawn_replication(house)
                spawn_syncs(house, syncs)
                tasks.spawn(watch_lag(), "loop lag")
                tasks.spawn(LifecycleJob(store.lifecycles, house.expiry).run(), "lifecycle policies")
                if settings.storage.scrub_bytes_s:
                    scrub = ScrubJob(store, house.healing, house.fills.clients, settings.storage.scrub_bytes_s)
                    tasks.spawn(scrub.run(), "scrub")
            await self._listen_locally(ops.before(control.administration.handle), slow, stack, tasks)
            await self._serve(server, started, tasks)

    async def _open_audit(self, stack: AsyncExitStack) -> Audit:
        path = self._settings.log.audit
        file = await asyncio.to_thread(AuditFile, Path(path)) if path else None
        if file is not None:
            stack.callback(file.close)
        return Audit(self._settings.registry.region, file)

    async def _listen_locally(self, handler: Handler, slow: SlowClock, stack: AsyncExitStack, tasks: Tasks) -> None:
        """Listen on the administration socket until the node ends."""
        path = self._admin_socket
        local = Server(handler, express=None, slow=slow, connections_max=LOCAL_CONNECTIONS_MAX)
        sock = await asyncio.to_thread(open_socket, path)
        stack.callback(sock.close)
        (listening,) = await listen(local, (), [sock], None, tasks.spawn)
        stack.push_async_callback(asyncio.to_thread, path.unlink, missing_ok=True)
        stack.push_async_callback(local.shutdown, 0.0)
        stack.push_async_callback(listening.close)

    async def _serve(self, server: Server, started: Callable[["Node"], None], tasks: Tasks) -> None:
        sockets = [] if self._alone else inherited(os.environ, os.getpid())
        addresses = () if self._alone else self._settings.server.listen
        listening = await listen(server, addresses, sockets, self._tls, tasks.spawn)
        self.addresses = names(listening)
        self._call_by_port(listening)
        root = str(self._settings.storage.root)
        telemetry.log.info("serving", addresses=self.addresses, version=__version__, root=root)
        try:
            _settle_garbage()
            started(self)
            await self._notifier.ready(self._status)
            watching = tasks.spawn(watch(self._notifier, self._admin_socket, self._status), "watchdog")
            await self._stopping.wait()
            watching.cancel()
            telemetry.log.info("stopping", connections=len(server.connections))
        finally:
            await asyncio.gather(*(listener.close() for listener in listening))
        drain_s = self._reload.settings.server.drain_s
        await self._notifier.stopping(stop_s_max(drain_s) + CLOSE_S_MAX)
        await server.drain(drain_s)

    @property
    def _admin_socket(self) -> Path:
        return self._settings.storage.root / ADMIN_SOCKET

    @property
    def _status(self) -> str:
        """Say in a line for people what the node does."""
        return f"serving on {', '.join(self.addresses)}"

    def _call_by_port(self, listening: Sequence[Listener]) -> None:
        """Put the port into the registries' addresses, where no public URL says another."""
        assert self._house is not None
        if not self._settings.server.public_url:
            sockets = [sock for listener in listening for sock in listener.sockets if sock.family != socket.AF_UNIX]
            ports = [sock.getsockname()[1] for sock in sockets]
            ports = ports or [address.port for address in self._settings.server.listen if address.port]
            usual = 443 if self._house.hosts.scheme == "https" else 80
            self._house.hosts.port = ports[0] if ports and ports[0] != usual else 0

    def _fault(self, probes: Probes) -> Callable[[], Awaitable[str]]:
        """Return what says what keeps the node from being ready, "" when nothing does."""

        async def fault() -> str:
            return "no node is running" if self._alone else "; ".join((await probes.look()).faults)

        return fault

    def _busiest(self, limit: int) -> tuple[int, list[tuple[str, int]]]:
        return self._server.busiest(limit) if self._server is not None else (0, [])

    def stop(self) -> None:
        self._stopping.set()

    def reload(self) -> None:
        """Take up what has changed in the configuration and its files; what is under way goes on."""
        if self._house is not None and not self._stopping.is_set():
            self._house.tasks.spawn(self._reload.run(self._house, self._status), "reload")


def _settle_garbage() -> None:
    """Take what the start has made out of the collector's sight: it stays, and looking at it costs every request."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS_MIN)


def _log_loose(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what went wrong outside of any task, in one line: a port scanner's broken handshake is no traceback."""
    telemetry.log.warning("loop", message=str(context.get("message")), error=repr(context.get("exception")))
