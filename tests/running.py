"""A whole node on loopback for tests, in the test's own loop: real store, real sockets, a stand-in as upstream.

async with running(tmp_path, upstreams=[cached(standin)]) as node:
    async with node.get("/v2/docker.io/library/app/manifests/v1") as response: ...
    await node.raw(b"GET /v2/ HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from standin import Standin

from mirror.config.settings import Access, Home, Listen, Log, Server, Settings, Storage
from mirror.node import Node
from mirror.rules.routing import UpstreamRule
from mirror.upstream.limits import Limits

START_S_MAX = 20.0
ANSWER_S_MAX = 30.0
EVERYTHING = ("pull", "push", "delete")
OPEN = Home(create_on_push=True)  # as small sites have it


def cached(standin: Standin, name: str = "docker.io", **settings: Any) -> UpstreamRule:
    """The rule of an upstream that is a stand-in: `docker.io`, also for root names, unless told otherwise."""
    return UpstreamRule(name=name, url=standin.url, **{"root": name == "docker.io", **settings})


class RunningNode:
    """A node that serves, and a client of it."""

    def __init__(self, node: Node, session: aiohttp.ClientSession) -> None:
        self.node = node
        self.host, _, port = node.addresses[0].rpartition(":")
        self.port = int(port)
        self.url = f"http://{self.host}:{self.port}"
        self.session = session

    def request(self, method: str, path: str, **options: Any) -> Any:
        """Ask as aiohttp does, with the path as it is: no re-quoting, no redirects followed, no decoding."""
        options.setdefault("allow_redirects", False)
        options.setdefault("timeout", aiohttp.ClientTimeout(ANSWER_S_MAX))
        return self.session.request(method, self.url + path, **options)

    def get(self, path: str, **options: Any) -> Any:
        return self.request("GET", path, **options)

    def head(self, path: str, **options: Any) -> Any:
        return self.request("HEAD", path, **options)

    async def fetch(self, path: str, **options: Any) -> tuple[int, Any, bytes]:
        """GET and return status, headers and body."""
        async with self.get(path, **options) as response:
            return response.status, response.headers, await response.read()

    async def raw(self, request: bytes, *, until_close: bool = True) -> bytes:
        """Send bytes and return what comes back until the node closes, or until a pause of 0.5 s."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(request)
            if until_close:
                return await asyncio.wait_for(reader.read(), ANSWER_S_MAX)
            return await _until_pause(reader)
        finally:
            writer.close()

    async def push_blob(self, name: str, data: bytes, digest: str) -> None:
        """Push a blob in one POST."""
        async with self.request("POST", f"/v2/{name}/blobs/uploads/?digest={digest}", data=data) as response:
            assert response.status == 201, await response.text()


async def _until_pause(reader: asyncio.StreamReader) -> bytes:
    got = b""
    while True:
        try:
            chunk = await asyncio.wait_for(reader.read(65536), 0.5)
        except TimeoutError:
            return got
        if not chunk:
            return got
        got += chunk


@asynccontextmanager
async def running(
    root: Path,
    *,
    upstreams: Iterable[UpstreamRule] = (),
    anonymous: tuple[Any, ...] = EVERYTHING,
    public_url: str = "",
    access_log: bool = False,
    clocks: Limits | None = None,
    home: Home = OPEN,
    port: int = 0,
    drain_s: float = 30.0,
    cache: Mapping[str, Any] | None = None,
    **more: Any,
) -> AsyncIterator[RunningNode]:
    """Run a node on a free port with its store at `root`; the same root again is the same node after a restart.

    `cache` has the bounds of what is cached, `home` and `more` are further tables of the configuration; `clocks` are
    those of its upstreams, for tests that run into them.
    """
    settings = Settings(
        server=Server(listen=(Listen("127.0.0.1", port),), public_url=public_url, drain_s=drain_s),
        storage=Storage(root, **cache or {}),
        access=Access(anonymous),
        log=Log(access=access_log),
        upstreams=tuple(upstreams),
        registry=home,
        **more,
    )
    node = Node(settings, clocks=clocks)
    started = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(node.run(lambda _: started.set()), name="node")
        waiting = group.create_task(started.wait(), name="started")
        await asyncio.wait({serving, waiting}, timeout=START_S_MAX, return_when=asyncio.FIRST_COMPLETED)
        assert started.is_set(), "the node did not start"
        try:
            async with aiohttp.ClientSession(auto_decompress=False) as session:
                yield RunningNode(node, session)
        finally:
            node.stop()
