"""A node as a process of its own, for what a test cannot do to itself: kill it, starve it, hand it sockets.

async with serving(tmp_path, upstreams={"docker.io": standin.url}) as node:
    await node.fetch("/v2/")
    await node.kill()
"""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

START_S_MAX = 20.0
END_S_MAX = 20.0
MIRROR = (sys.executable, "-c", "from mirror.cli import main; main()")
CONFIG = """
[server]
listen = {listen}
tls = {{ certificate = "{certificate}", key = "{key}" }}
[storage]
root = "{root}"
[access]
anonymous = ["pull", "push", "delete"]
[registry]
create_on_push = true
{registry}
[log]
access = true
{tables}
"""
UPSTREAM = """
[[upstream]]
name = "{name}"
url = "{url}"
root = {root}
{more}
"""


class Process:
    """A node that serves: `events` are its log lines as they come, `address` what it listens on first."""

    def __init__(self, running: asyncio.subprocess.Process) -> None:
        self.running = running
        self.events: list[dict[str, Any]] = []
        self.text = ""
        self._news = asyncio.Event()

    @property
    def address(self) -> str:
        return str(next(event["addresses"][0] for event in self.events if event["event"] == "serving"))

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def read_log(self) -> None:
        assert self.running.stderr is not None
        async for line in self.running.stderr:
            self.text += line.decode()
            with suppress(ValueError):
                self.events.append(json.loads(line))
            self._news.set()
        await self.running.wait()
        self._news.set()

    async def logged(self, event: str) -> None:
        """Wait until the node has logged `event`."""
        async with asyncio.timeout(START_S_MAX):
            while not any(one["event"] == event for one in self.events):
                assert self.running.returncode is None, self.text
                self._news.clear()
                await self._news.wait()

    async def fetch(self, path: str, **options: Any) -> tuple[int, bytes]:
        async with aiohttp.ClientSession() as session, session.get(self.url + path, **options) as response:
            return response.status, await response.read()

    def signal(self, number: int) -> None:
        self.running.send_signal(number)

    async def kill(self) -> None:
        """End it as a power cut would, as far as a process can tell."""
        self.signal(signal.SIGKILL)
        await asyncio.wait_for(self.running.wait(), END_S_MAX)

    async def ended(self) -> int:
        return await asyncio.wait_for(self.running.wait(), END_S_MAX)


def write_config(
    root: Path,
    *,
    listen: Sequence[str],
    upstreams: Mapping[str, str],
    certificate: str = "",
    key: str = "",
    more: str = "",
    registry: str = "",
    tables: str = "",
) -> Path:
    """Write a configuration beside the store; the first upstream is the root. `more` goes to each upstream.

    `registry` are further lines of that table, `tables` are further tables.
    """
    listed = json.dumps(listen)
    text = CONFIG.format(
        listen=listed, certificate=certificate, key=key, root=root / "store", registry=registry, tables=tables
    )
    for number, (name, url) in enumerate(upstreams.items()):
        text += UPSTREAM.format(name=name, url=url, root=str(number == 0).lower(), more=more)
    path = root / "mirror.toml"
    path.write_text(text)
    return path


@asynccontextmanager
async def serving(
    root: Path,
    *,
    upstreams: Mapping[str, str] | None = None,
    listen: Sequence[str] = ("127.0.0.1:0",),
    before: Sequence[str] = (),
    pass_fds: Sequence[int] = (),
    **config: str,
) -> AsyncIterator[Process]:
    """Run `mirror serve`, after the words `before` that change how it starts, until the block ends or it does."""
    path = write_config(root, listen=listen, upstreams=upstreams or {}, **config)
    command = [*before, *MIRROR, "serve", "--config", str(path)]
    running = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE, pass_fds=pass_fds)
    node = Process(running)
    async with asyncio.TaskGroup() as group:
        group.create_task(node.read_log(), name="log of the node")
        try:
            await node.logged("serving")
            yield node
        finally:
            if running.returncode is None:
                running.kill()
                await running.wait()


async def command(*words: str) -> tuple[int, str]:
    """Run a command of the node; return its exit code and what it said."""
    running = await asyncio.create_subprocess_exec(
        *MIRROR, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await asyncio.wait_for(running.communicate(), END_S_MAX)
    assert running.returncode is not None
    return running.returncode, said.decode()
