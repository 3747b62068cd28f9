"""A link to a registry on loopback, for tests: it counts the bytes of bodies that go up, and is cut where a test says.

async with Link(node.port) as link:
    link.cut_at = 12_000_000                     # of the bodies of PATCH, all together: then both ends are reset
    await link.was_cut.wait()
    link.sent                                    # what went up, request by request
"""

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Any, Final, Self

READ_BYTES: Final = 64 * 1024
HEAD_BYTES_MAX: Final = 64 * 1024


@dataclass
class Sent:
    """A request that went up: `span` is its Content-Range, `body_bytes` what of its body has been handed on."""

    method: str
    target: str
    span: str
    body_bytes: int = 0


@dataclass
class Link:
    """The link to a port. While it `is_down` nobody gets through."""

    to_port: int
    cut_at: int | None = None
    is_down: bool = False
    sent: list[Sent] = field(default_factory=list)
    was_cut: asyncio.Event = field(default_factory=asyncio.Event)
    refused: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", 0, limit=HEAD_BYTES_MAX)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def patches(self) -> list[Sent]:
        return [one for one in self.sent if one.method == "PATCH"]

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        above: asyncio.StreamWriter | None = None
        try:
            if self.is_down:
                self.refused.set()
                return
            answers, above = await asyncio.open_connection("127.0.0.1", self.to_port)
            above.transport.set_write_buffer_limits(0)  # what is counted has left this process
            async with asyncio.TaskGroup() as group:
                down = group.create_task(_pump(answers, writer))
                await self._requests(reader, above)
                down.cancel()
        except* (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            for end in (writer, above):
                if end is not None:
                    end.transport.abort()

    async def _requests(self, reader: asyncio.StreamReader, above: asyncio.StreamWriter) -> None:
        """Hand on requests, one after the other, until there are no more. Raises ConnectionError when it is cut."""
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                return
            above.write(head)
            await above.drain()
            line, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            method, target, _ = line.split(" ", 2)
            sent = Sent(method, target, headers.get("content-range", ""))
            self.sent.append(sent)
            left = int(headers.get("content-length", "0"))
            while left:
                data = await reader.read(min(left, READ_BYTES))
                if not data:
                    raise ConnectionResetError
                above.write(data)
                await above.drain()
                left -= len(data)
                sent.body_bytes += len(data)
                self._cut(method)

    def _cut(self, method: str) -> None:
        if method != "PATCH" or self.cut_at is None or sum(one.body_bytes for one in self.patches) < self.cut_at:
            return
        self.cut_at = None
        self.was_cut.set()
        raise ConnectionResetError


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(READ_BYTES):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()
