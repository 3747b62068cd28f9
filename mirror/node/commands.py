"""What the command line asks of a node: serve, rebuild the index, restore a backup, administer."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import aiofastnet
import uvloop

from mirror.config import Settings
from mirror.node.node import Node
from mirror.node.tasks import Tasks
from mirror.registry.identities.seals import KEY_FILE
from mirror.store.backup import bring_back
from mirror.store.shelves import Brought
from mirror.store.store import Store
from mirror.web.admin_socket import NAME as ADMIN_SOCKET
from mirror.web.admin_socket import near

T = TypeVar("T")


def run(settings: Settings, read: Callable[[], Settings]) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code. `read` reads the settings again, on SIGHUP."""

    async def main() -> None:
        node = Node(settings, read=read)
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
        opened = partial(Store.open, settings.storage.root, home=settings.home, rebuilt=True, progress=progress)
        async with asyncio.TaskGroup() as group, opened(Tasks(group).spawn):
            pass

    asyncio.run(main())


def restore(settings: Settings, directory: Path, progress: Progress, *, copied: bool) -> Brought:
    """Make the store anew from the backup in `directory`, index and all.

    Raises FileExistsError where there is a store, StoreLocked, StorageFull and OSError.
    """
    root = settings.storage.root
    blobs = partial(progress, "blobs")
    brought = asyncio.run(bring_back(directory, root, blobs, copied=copied, beside=[KEY_FILE]))
    reindex(settings, progress)
    return brought


def administer(settings: Settings, talk: Callable[[Path], Awaitable[T]]) -> T:
    """Do `talk` with the path of a live administration socket: the running node's, or that of one for this only.

    Raises what `talk` raises, and StoreLocked where a node has the store and does not answer.
    """
    path = settings.storage.root / ADMIN_SOCKET

    async def main() -> T:
        if await _answers(path):
            return await talk(path)
        node = Node(settings, alone=True)
        return await _with(node, lambda: talk(path))

    with asyncio.Runner(loop_factory=aiofastnet.loop_factory(uvloop.new_event_loop)) as runner:
        return runner.run(main())


async def _answers(path: Path) -> bool:
    """Tell whether somebody listens on the socket."""
    try:
        with near(path) as address:
            _, writer = await asyncio.open_unix_connection(address)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def _with(node: Node, work: Callable[[], Awaitable[T]]) -> T:
    """Run `node` for as long as `work` takes."""
    started = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(node.run(lambda _: started.set()), name="node")
        await started.wait()
        try:
            return await work()
        finally:
            node.stop()
