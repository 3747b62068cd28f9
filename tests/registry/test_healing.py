"""Healing: who is asked for lost bytes, in which order, and what is believed."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from registries import HOME
from stores import AT, OURS, opened, push

from mirror.oci.digest import Digest, digest_of
from mirror.oci.errors import BlobUnknown, RegistryError, UpstreamDenied
from mirror.oci.names import Repository
from mirror.registry import healing as healing_module
from mirror.registry.fills import Fills
from mirror.registry.flights import Flights
from mirror.registry.healing import Healing
from mirror.store.entries import blob_entry
from mirror.store.store import Store
from mirror.upstream.body import BlobBody
from mirror.upstream.throttle import Throttle

DATA = Random(13).randbytes(70_000)
DIGEST = digest_of(DATA)
HUB = Repository(HOME, "docker.io", "library/app")


class Body:
    """A whole answer."""

    start = 0

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self._data = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._data


class Peer:
    """A node of another region that has `data`, or fails."""

    def __init__(self, what: str, data: bytes | RegistryError) -> None:
        self.what = what
        self.asked: list[str] = []
        self.let = asyncio.Event()
        self.let.set()
        self._data = data

    def _has(self, name: str) -> bytes:
        self.asked.append(name)
        if isinstance(self._data, RegistryError):
            raise self._data
        return self._data

    async def get_manifest(self, name: str, digest: Digest) -> bytes:
        return self._has(name)

    @asynccontextmanager
    async def get_blob(self, name: str, digest: Digest, start: int, end: int | None) -> AsyncIterator[BlobBody]:
        data = self._has(name)
        await self.let.wait()
        body: Any = Body(data)
        yield body


class Upstreams:
    """The blobs and manifests of upstreams; `data` is what they have."""

    def __init__(self, store: Store, data: bytes | None = None) -> None:
        self.asked: list[Repository] = []
        self._store = store
        self._data = data

    async def fetch(self, repository: Repository, digest: Digest, throttle: Throttle) -> None:
        self.asked.append(repository)
        if self._data is None:
            raise BlobUnknown("not there")
        await asyncio.to_thread(self._store.files.write, digest, self._data)
        await self._store.index.put_blob(digest, blob_entry(self._data))


class Bench:
    """Healing over a real store that has lost DIGEST, which `repositories` name."""

    def __init__(self, store: Store, peers: list[Peer], upstreams: Upstreams | None = None) -> None:
        self.tasks: list[asyncio.Task[None]] = []
        self.upstreams = upstreams or Upstreams(store)
        blobs: Any = self.upstreams
        fills = Fills(store.files, store.index, store.guard, store.space, self.spawn)
        self.healing = Healing(store, fills, blobs, blobs, Flights(self.spawn), Throttle(0), lambda _: peers)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self.tasks.append(task)
        return task


async def lose(store: Store, *repositories: Repository) -> None:
    for repository in repositories:
        await store.catalog.link_blob(repository, DIGEST, len(DATA), "", AT)


async def test_an_upstream_is_asked_before_another_region(tmp_path: Path) -> None:
    """Its bytes cost nobody's replication line; a proof that they are right is the digest, whoever sends them."""
    async with opened(tmp_path) as store:
        await lose(store, OURS, HUB)
        peer = Peer("west", DATA)
        bench = Bench(store, [peer], Upstreams(store, DATA))
        assert await bench.healing.heal(DIGEST) == "healed"
        assert (bench.upstreams.asked, peer.asked) == ([HUB], [])


async def test_each_region_is_asked_until_one_has_the_right_bytes(tmp_path: Path) -> None:
    """RELIABILITY A5: wrong bytes are nobody's, and never kept."""
    async with opened(tmp_path) as store:
        await lose(store, OURS, HUB)
        denied = Peer("north", UpstreamDenied("north answered 403"))
        wrong, right, last = Peer("south", DATA[::-1]), Peer("east", DATA), Peer("west", DATA)
        bench = Bench(store, [denied, wrong, right, last])
        assert await bench.healing.heal(DIGEST) == "healed"
        assert [peer.asked for peer in (denied, wrong, right, last)] == [[OURS.name]] * 3 + [[]]
        assert store.files.path(DIGEST).read_bytes() == DATA
        assert store.index.blob(DIGEST) == blob_entry(DATA)


async def test_a_manifest_comes_back_as_one(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        digest = await push(store, OURS, "one", "v1")
        body = store.files.path(digest).read_bytes()
        for data, outcome in ((body[::-1], "lost"), (body, "healed")):
            await store.index.drop_blob(digest)
            store.files.path(digest).unlink(missing_ok=True)
            assert await Bench(store, [Peer("west", data)]).healing.heal(digest) == outcome
        assert store.files.path(digest).read_bytes() == body


async def test_what_nobody_has_is_told_with_the_reasons(tmp_path: Path, events: list[Any]) -> None:
    """Issue section "Integrity": reported where none has it. What only caches name is a miss, and no loss."""
    async with opened(tmp_path) as store:
        await lose(store, HUB)
        assert await Bench(store, [Peer("west", DATA)]).healing.heal(DIGEST) == "missed"
        await lose(store, OURS)
        denied = Peer("west", UpstreamDenied("west answered 403"))
        assert await Bench(store, [denied]).healing.heal(DIGEST) == "lost"
    (told,) = [event for event in events if event["event"] == "bytes lost: nobody has them"]
    assert told["repositories"] == [OURS.name]
    assert told["tried"] == ["not there", "west answered 403"]


async def test_who_asks_again_at_once_has_nobody_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two nodes that have lost the same would go on asking each other for ever."""
    async with opened(tmp_path) as store:
        await lose(store, OURS)
        peer = Peer("west", BlobUnknown("west has no blob"))
        bench = Bench(store, [peer])
        for _ in range(3):
            bench.healing.begin(DIGEST)
            await asyncio.gather(*bench.tasks)
        assert len(peer.asked) == 1
        monkeypatch.setattr(healing_module, "AGAIN_S", 0.0)
        bench.healing.begin(DIGEST)
        await asyncio.gather(*bench.tasks)
        assert len(peer.asked) == 2


async def test_all_who_want_the_same_bytes_back_wait_for_one_answer(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await lose(store, OURS)
        peer = Peer("west", DATA)
        peer.let.clear()
        bench = Bench(store, [peer])
        waiting = [asyncio.create_task(bench.healing.heal(DIGEST)) for _ in range(3)]
        async with asyncio.timeout(10.0):
            while not peer.asked:
                await asyncio.sleep(0)
        peer.let.set()
        assert await asyncio.gather(*waiting) == ["healed"] * 3
        assert len(peer.asked) == 1
