"""What is going on at one node: what must be there, and what was wrong."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Final

import aiohttp

from mirror.cli.socket import Administrator
from mirror.oci.errors import RegistryError

from .client import Client, Image, Wrong, expect, make_image

OURS: Final = ("team/app", "team/web", "team/db")
EXPIRING: Final = ("nightly/app", "nightly/web")  # nothing but their policy deletes there
KEPT: Final = 3  # images, by that policy
SIZES: Final = (1_000, 1_000, 30_000, 100_000, 400_000, 1_500_000)  # of layers: inline, in a file, in several chunks
SHARED: Final = tuple(Random(number).randbytes(size) for number, size in enumerate(SIZES))
FAULTS_MAX: Final = 1_000
POLICY: Final = {
    "rules": [
        {
            "rulePriority": 1,
            "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": KEPT},
            "action": {"type": "expire"},
        }
    ]
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of work (it returns how much it did), how many do it at once, and how long each rests in between."""

    name: str
    work: Callable[["Soak"], Awaitable[int]]
    workers: int = 1
    pause_s: float = 0.0


class Soak:
    """All that is going on at one node. `upstream` are the images that it can cache; `grace_s` is the node's."""

    def __init__(
        self, client: Client, administrator: Administrator, upstream: Sequence[Image], *, grace_s: float, seed: int = 0
    ) -> None:
        self.client = client
        self.administrator = administrator
        self.upstream = upstream
        self.grace_s = grace_s
        self.random = Random(seed)
        self.images: list[Image] = []  # our own that are there
        self.nightly: dict[str, list[Image]] = {name: [] for name in EXPIRING}  # all ever sent there
        self.expired: set[str] = set()
        self.expiring: Counter[str] = Counter()  # runs of a repository's policy that are under way
        self.done: Counter[str] = Counter()
        self.faults: list[str] = []
        self._count = 0

    async def prepare(self) -> None:
        """Make the repositories that have a policy."""
        for name in EXPIRING:
            await self.administrator.ecr("CreateRepository", repositoryName=name)
            await self.administrator.ecr(
                "PutLifecyclePolicy", repositoryName=name, lifecyclePolicyText=json.dumps(POLICY)
            )

    async def run(self, kinds: Sequence["Kind"], seconds: float) -> None:
        """Do all kinds of work at once."""
        until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for kind in kinds:
                for _ in range(kind.workers):
                    group.create_task(self._repeat(kind, until), name=kind.name)

    async def _repeat(self, kind: "Kind", until: float) -> None:
        while time.monotonic() < until:
            await self._once(kind.name, partial(kind.work, self))
            await asyncio.sleep(kind.pause_s)

    async def _once(self, name: str, work: Callable[[], Awaitable[int]]) -> None:
        try:
            done = await work()
        except (Wrong, aiohttp.ClientError, OSError, TimeoutError, RegistryError) as error:
            self.done["errors"] += 1
            if len(self.faults) < FAULTS_MAX:
                self.faults.append(f"{name}: {type(error).__name__}: {error}")
        else:
            self.done[name] += done

    async def check(self) -> None:
        """Pull all that has to be there, and whatever is cached, whole."""
        for image in (*self.images, *self.upstream):
            await self._once("checked", partial(self._check, image))

    async def _check(self, image: Image) -> int:
        expect(await self.client.pull(image, image.tag), f"GET {image.name}:{image.tag}", 404)
        return 1

    # What the kinds of work ask.

    def make(self, names: Sequence[str]) -> Image:
        """Make an image that shares some layers with others and has one of its own."""
        self._count += 1
        own = self.random.randbytes(self.random.choice(SIZES))
        layers = [*self.random.sample(SHARED, self.random.randrange(3)), own]
        return make_image(self.random.choice(names), f"v{self._count}", layers)

    def may_be_gone(self, image: Image) -> bool:
        return image.is_leaving or image.digest in self.expired or self.expiring[image.name] > 0

    def settle(self) -> None:
        """Forget images that a policy has let go, and their bytes."""
        for image in self.images:
            if image.digest in self.expired:
                image.blobs = ()
        self.images = [image for image in self.images if image.digest not in self.expired]
