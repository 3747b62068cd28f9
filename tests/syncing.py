"""A node that synchronizes from a stand-in, and what is asked of it by its administration socket.

async with edge(tmp_path, standin, rule(tags=("v*",))) as here:
    outcome = await here.run()
    assert here.states == {"app:v1": "new"}
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from running import RunningNode, cached, running
from standin import Image, Standin
from waiting import until

from mirror.cli.socket import Administrator, reached
from mirror.rules.syncing import SyncRule

APP = "docker.io/library/app"
Answer = dict[str, Any]


class Edge:
    """A node and its socket. `heard` is what the last run told while it went."""

    def __init__(self, node: RunningNode, administrator: Administrator) -> None:
        self.node = node
        self.administrator = administrator
        self.heard: list[Any] = []

    async def ask(self, operation: str, **given: Any) -> Answer:
        self.heard = []
        return dict(await self.administrator.follow("syncs", operation, self.heard.append, **given))

    async def run(self, *names: str) -> Answer:
        """Run a rule; return what came of it."""
        (outcome,) = (await self.ask("run", names=names))["outcomes"]
        return dict(outcome)

    async def plan(self, *names: str) -> tuple[dict[str, str], int]:
        """Return what a run would do with each image, and how many bytes."""
        found = await self.ask("plan", names=names)
        states = {one["image"].removeprefix("docker.io/library/"): one["state"] for one in found["images"]}
        return states, found["outcomes"][0]["bytes"]

    @property
    def states(self) -> dict[str, str]:
        images = (one for one in self.heard if one["event"] == "image")
        return {one["image"].removeprefix("docker.io/library/"): one["state"] for one in images}


@asynccontextmanager
async def edge(root: Path, standin: Standin, *rules: SyncRule, **options: Any) -> AsyncIterator[Edge]:
    upstreams = options.pop("upstreams", [cached(standin)])
    async with (
        running(root, upstreams=upstreams, syncs=rules, **options) as node,
        reached(root / "admin.sock") as administrator,
    ):
        yield Edge(node, administrator)


def rule(**settings: Any) -> SyncRule:
    return SyncRule("base", **{"repositories": (APP,), "referrers": False, **settings})


def blobs_of(*images: Image) -> set[str]:
    return {blob for image in images for blob in (image.config, *image.layers)}


def fetched(standin: Standin, kind: Any = "blob") -> set[str]:
    return {seen.reference for seen in standin.asked(kind, method="GET")}


def gets(standin: Standin) -> int:
    """How many requests registries count as pulls, or send bytes for."""
    return standin.count("manifest", method="GET") + standin.count("blob", method="GET")


async def pulls_offline(node: RunningNode, standin: Standin, name: str, *images: Image) -> None:
    """Stop the upstream, and have all of the images from the node."""
    await standin.stop()
    for image in images:
        for path in (f"manifests/{image.digest}", *(f"blobs/{blob}" for blob in blobs_of(image))):
            assert (await node.fetch(f"/v2/{name}/{path}"))[0] == 200


async def seen(look: Callable[[], bool]) -> None:
    """Wait until something is so."""

    async def is_so() -> bool:
        return look()

    await until(is_so)
