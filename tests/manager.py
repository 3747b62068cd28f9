"""A service manager as far as sd_notify(3) knows one: a datagram socket, and what came to it.

async with Manager(tmp_path / "notify") as manager, serving(tmp_path, before=manager.words()) as node:
    await manager.heard("READY=1")
"""

import asyncio
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

HEAR_S_MAX = 20.0


class Manager:
    """Listens at `name`, a path or `@` and a name without a file; `messages` are the lines of each datagram."""

    def __init__(self, name: Path | str) -> None:
        self.name = str(name)
        self.messages: list[list[str]] = []
        self._news = asyncio.Event()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    async def __aenter__(self) -> Self:
        self._socket.bind(self.name.replace("@", "\0", 1))
        self.look()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.look_away()
        self._socket.close()

    def look(self) -> None:
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._hear)

    def look_away(self) -> None:
        """Take no message until the next look: the queue fills."""
        asyncio.get_running_loop().remove_reader(self._socket.fileno())

    def words(self, watchdog_s: float = 0.0) -> list[str]:
        """The words before a command that make it a service of this manager."""
        watched = [f"WATCHDOG_USEC={int(watchdog_s * 1e6)}"] if watchdog_s else []
        return ["env", f"NOTIFY_SOCKET={self.name}", *watched]

    def count(self, line: str) -> int:
        return sum(line in message for message in self.messages)

    async def heard(self, line: str, times: int = 1) -> None:
        """Wait until `line` came so many times."""
        async with asyncio.timeout(HEAR_S_MAX):
            while self.count(line) < times:
                self._news.clear()
                await self._news.wait()

    def _hear(self) -> None:
        self.messages.append(self._socket.recv(8_192).decode().split("\n"))
        self._news.set()
