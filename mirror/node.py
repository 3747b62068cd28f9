"""The node: builds every object, owns every task, decides the order of start and stop.

With `cli` the only reader of the environment. Start: store (locked, replayed), upstreams (none is called: a node starts
with no network), door. Stop: not ready, no new connections, transfers finish within DRAIN_S_MAX, tasks, store.
"""

import asyncio
import gc
import os
import signal
import ssl
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import aiofastnet
import uvloop

from mirror import __version__, telemetry
from mirror.config import Settings
from mirror.config.settings import Tls
from mirror.jobs.sweep import sweep
from mirror.registry.discovery import Discovery
from mirror.registry.fills import Fills
from mirror.registry.flights import Flights
from mirror.registry.manifests import Manifests
from mirror.registry.prefetch import Prefetch
from mirror.registry.pull import PullManifests
from mirror.registry.pull_blobs import PullBlobs
from mirror.registry.push import Push
from mirror.registry.upstreams import Upstreams
from mirror.rules.routing import Routing
from mirror.store.store import Store
from mirror.store.verify import verify as verify_store
from mirror.upstream.client import Upstream
from mirror.upstream.limits import Limits
from mirror.web.access_log import AccessLog
from mirror.web.app import App
from mirror.web.distribution import Distribution
from mirror.web.door import Door
from mirror.web.express import Express
from mirror.web.listen import inherited, listen, names
from mirror.web.ops import Ops
from mirror.web.server import Server, connections_max
from mirror.web.slow import SlowClock
from mirror.web.uploads import UploadHandlers

DRAIN_S_MAX: Final = 30.0  # how long a stop waits for transfers; below systemd's default of 90
GARBAGE_OBJECTS_MIN: Final = 10_000  # a request makes some hundred objects, nearly none in cycles
DISK_THREADS: Final = 16  # writes, hashing and fsync: more than cores, since most of it waits for the disk


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


class Node:
    """One running node."""

    def __init__(self, settings: Settings, *, clocks: Limits | None = None) -> None:
        """Read `settings`; `clocks` are those of the upstreams, shorter in tests."""
        self._settings = settings
        self._clocks = clocks
        self._stopping = asyncio.Event()
        self._tls = _tls_context(settings.server.tls)
        self.addresses: list[str] = []

    async def run(self, started: Callable[["Node"], None] = lambda _: None) -> None:
        """Serve until `stop`; `started` is told when the node accepts. Raises OSError, StoreLocked, ssl.SSLError."""
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(DISK_THREADS, thread_name_prefix="disk"))
        loop.set_exception_handler(_log_loose)
        # Two groups: the work that uses the store has ended before the store's own loop does.
        async with (
            asyncio.TaskGroup() as group,
            Store.open(self._settings.storage.root, Tasks(group).spawn) as store,
        ):
            await self._work(store, started)

    async def _work(self, store: Store, started: Callable[["Node"], None]) -> None:
        async with asyncio.TaskGroup() as group, AsyncExitStack() as stack:
            tasks = Tasks(group)
            stack.callback(tasks.cancel)
            user_agent = f"mirror/{__version__}"
            upstreams = {
                rule.name: Upstream(rule, user_agent=user_agent, clocks=self._clocks)
                for rule in self._settings.upstreams
            }
            for upstream in upstreams.values():
                stack.push_async_callback(upstream.close)
            slow = SlowClock()
            server = self._door(store, Upstreams(upstreams), tasks, slow)
            tasks.spawn(slow.run(), "slow clients")
            tasks.spawn(sweep(store.uploads), "sweep")
            await self._serve(server, started)

    async def _serve(self, server: Server, started: Callable[["Node"], None]) -> None:
        sockets = inherited(os.environ, os.getpid())
        listening = await listen(server, self._settings.server.listen, sockets, self._tls)
        self.addresses = names(listening)
        root = str(self._settings.storage.root)
        telemetry.log.info("serving", addresses=self.addresses, version=__version__, root=root)
        try:
            _settle_garbage()
            started(self)
            await self._stopping.wait()
            telemetry.log.info("stopping", connections=len(server.connections))
        finally:
            for listener in listening:
                listener.close()
        server.pre_shutdown()
        await server.shutdown(DRAIN_S_MAX)

    def _door(self, store: Store, upstreams: Upstreams, tasks: Tasks, slow: SlowClock) -> Server:
        """Build what stands between the sockets and the store."""
        settings = self._settings
        routing = Routing(settings.upstreams, _own_hosts(settings.server.public_url))
        flights = Flights(tasks.spawn)
        fills = Fills(store.files, store.index, tasks.spawn)
        manifests = Manifests(store.files, store.index, store.catalog)
        pull = PullManifests(store.index, store.catalog, manifests, upstreams, flights)
        blobs = PullBlobs(store.files, store.index, store.catalog, fills, upstreams, flights)
        pull.followers.append(Prefetch(pull, blobs, tasks.spawn).follow)
        access = AccessLog(enabled=settings.log.access)
        door = Door(
            routing=routing,
            index=store.index,
            push=Push(store.index, store.catalog, store.uploads, manifests),
            slow=slow,
            public_url=settings.server.public_url.rstrip("/"),
            anonymous=frozenset(settings.access.anonymous),
        )
        discovery = Discovery(store.index, store.catalog, upstreams, flights)
        distribution = Distribution(door, manifests=pull, blobs=blobs, discovery=discovery)
        app = App(door, distribution, UploadHandlers(door), Ops(partial(self._fault, store)), access)
        express = Express(
            index=store.index,
            files=store.files,
            routing=routing,
            access=access,
            pull_allowed="pull" in settings.access.anonymous,
        )
        return Server(app.handle, express=express, slow=slow, connections_max=connections_max())

    def _fault(self, store: Store) -> str:
        """Say what keeps the node from being ready, "" when nothing does."""
        return "stopping" if self._stopping.is_set() else store.fault()

    def stop(self) -> None:
        self._stopping.set()

    def reload(self) -> None:
        """Take up a renewed certificate; connections under way keep theirs."""
        tls = self._settings.server.tls
        if self._tls is None:
            return
        try:
            # Tried elsewhere first: a pair that does not match would leave the living context without a key.
            _tls_context(tls)
            self._tls.load_cert_chain(tls.certificate, tls.key)
        except (OSError, ssl.SSLError) as error:
            telemetry.log.error("certificate not reloaded", reason=str(error))
        else:
            telemetry.log.info("certificate reloaded")


def _settle_garbage() -> None:
    """Take what the start has made out of the collector's sight: it stays, and looking at it costs every request."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS_MIN)


def _log_loose(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what went wrong outside of any task, in one line: a port scanner's broken handshake is no traceback."""
    telemetry.log.warning("loop", message=str(context.get("message")), error=repr(context.get("exception")))


def _tls_context(tls: Tls) -> ssl.SSLContext | None:
    if not tls.certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls.certificate, tls.key)
    return context


def _own_hosts(public_url: str) -> frozenset[str]:
    """Return the names by which a client's `?ns=` may mean this node itself."""
    return frozenset({urlsplit(public_url).netloc}) - {""}


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""

    async def main() -> None:
        node = Node(settings)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, node.stop)
        loop.add_signal_handler(signal.SIGHUP, node.reload)
        await node.run()

    with asyncio.Runner(loop_factory=aiofastnet.loop_factory(uvloop.new_event_loop)) as runner:
        runner.run(main())
    return 0


Progress = Callable[[str, int, int], object]  # step, done, all


def reindex(settings: Settings, progress: Progress) -> None:
    """Build the index anew from the database and the files. Raises StoreLocked when a node is running."""

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            rows = partial(progress, "rows")
            async with Store.open(settings.storage.root, Tasks(group).spawn, rebuilt=True, progress=rows):
                pass

    asyncio.run(main())


def _hashed(progress: Progress, done: int) -> None:
    progress("blobs hashed", done, 0)


def verify(settings: Settings, repair: bool, report: Callable[[str], object], progress: Progress) -> int:
    """Check every stored byte, telling each fault; return how many do harm. Raises StoreLocked."""

    async def main() -> int:
        faults = 0
        async with asyncio.TaskGroup() as group, Store.open(settings.storage.root, Tasks(group).spawn) as store:
            hashed = partial(_hashed, progress)
            async for fault in verify_store(store.files, store.index, repair=repair, progress=hashed):
                faults += not fault.harmless
                ending = ", repaired" if fault.repaired else ", harmless" if fault.harmless else ""
                report(f"{fault.digest}: {fault.kind}{ending}")
        return faults

    return asyncio.run(main())
