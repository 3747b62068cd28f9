"""Replication side by side: this node's `[[destination]]`, `skopeo sync`, and `skopeo copy --all` image by image.

All three bring the same images from the same node to a docker-registry of their own, which is empty at first; then once
more, when nothing has changed. CPU is that of all who take part: the copier, the node and the destination. Last, what
a warm pull at the node costs while it replicates. `python -m bench.replicate` writes its table into bench/RESULTS.md.
"""

import argparse
import asyncio
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from bench.connection import Connection, push_blob, push_manifest
from bench.content import GIB, MANIFEST_TYPE, MIB, Image, make_blob, make_image
from bench.load import wrk
from bench.measure import cpu_s, machine, record
from bench.peers import Registry, distribution, mirror, start
from mirror.cli.socket import reached
from tests.clients.programs import find

IMAGES: Final = 200
REPOSITORIES: Final = 8
LARGE_BYTES: Final = 256 * MIB
ROUNDS: Final = 3
COPY_S_MAX: Final = 600.0
LOOK_S: Final = 0.02
SKOPEO: Final = ("--src-tls-verify=false", "--dest-tls-verify=false")
HEADINGS: Final = ("what", "by", "images/s", "MiB/s", "CPU ms/image", "CPU s/GiB", "CPU to skopeo sync")
PULL_HEADINGS: Final = ("warm manifest GETs at the node", "requests/s", "p50 ms", "p99 ms", "errors")


@dataclass(frozen=True, slots=True)
class Place:
    """A destination of its own for one copier and one round."""

    name: str
    registry: Registry

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.registry.port}"


@dataclass(frozen=True, slots=True)
class Goods:
    """What is copied: names of repositories with the images of each by tag, and how many bytes all have."""

    images: dict[str, dict[str, Image]]

    @property
    def count(self) -> int:
        return sum(map(len, self.images.values()))

    @property
    def size(self) -> int:
        blobs = {blob.digest: blob.size for tags in self.images.values() for one in tags.values() for blob in one.blobs}
        return sum(blobs.values())

    def references(self) -> Iterator[str]:
        return (f"{name}:{tag}" for name, tags in self.images.items() for tag in tags)


def small_goods(folder: Path, count: int) -> Goods:
    """Make images that share one layer: a config and a small layer of their own each."""
    shared = make_blob(folder, MIB)
    images: dict[str, dict[str, Image]] = {f"team/app{number}": {} for number in range(REPOSITORIES)}
    for number in range(count):
        image = make_image(folder, (16 * 1024,), shared=(shared,))
        images[f"team/app{number % REPOSITORIES}"][f"v{number}"] = image
    return Goods(images)


def large_goods(folder: Path, size: int) -> Goods:
    return Goods({"team/large": {"v1": make_image(folder, (size,))}})


Copy = Callable[[Registry, Place, Goods], None]


def by_us(node: Registry, place: Place, _: Goods) -> None:
    """Have the node send all that it has to the place, and wait until it has."""

    async def ask() -> None:
        async with reached(node.root / "store" / "admin.sock") as administrator:
            await administrator.own("replications", "backfill", destination=place.name)
            while any(one["waiting"] for one in (await administrator.own("replications", "status"))["places"]):
                await asyncio.sleep(LOOK_S)

    asyncio.run(ask())


def by_sync(node: Registry, place: Place, goods: Goods) -> None:
    """`skopeo sync` with a file that names the repositories."""
    wanted = "".join(f"    {name}: []\n" for name in goods.images)
    listing = place.registry.root / "sync.yaml"
    listing.write_text(f"127.0.0.1:{node.port}:\n  tls-verify: false\n  images:\n{wanted}")
    _run(
        [
            "skopeo",
            "sync",
            "--all",
            "--preserve-digests",
            *SKOPEO,
            "--src",
            "yaml",
            "--dest",
            "docker",
            str(listing),
            f"{place.host}/team",
        ]
    )


def by_copies(node: Registry, place: Place, goods: Goods) -> None:
    """`skopeo copy --all`, once for each image."""
    for reference in goods.references():
        source = f"docker://127.0.0.1:{node.port}/{reference}"
        _run(
            [
                "skopeo",
                "copy",
                "--quiet",
                "--all",
                "--preserve-digests",
                *SKOPEO,
                source,
                f"docker://{place.host}/{reference}",
            ]
        )


COPIERS: Final[dict[str, Copy]] = {"mirror": by_us, "skopeo sync": by_sync, "skopeo copy --all": by_copies}


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=COPY_S_MAX)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a copier took."""

    seconds: float
    cpu_s: float


def costs(node: Registry, place: Place, work: Callable[[], None]) -> Cost:
    """Measure the work and charge it the CPU of the node, of the destination and of our children that ended."""

    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return _cpu_s(node) + _cpu_s(place.registry) + children.ru_utime + children.ru_stime

    before, begin = used(), time.perf_counter()
    work()
    return Cost(time.perf_counter() - begin, used() - before)


def _cpu_s(peer: Registry) -> float:
    assert peer.daemon.process is not None
    return cpu_s(peer.daemon.process.pid)


@contextmanager
def node_with(root: Path, goods: Goods, rounds: int) -> Iterator[tuple[Registry, dict[str, list[Place]]]]:
    """Run a node that has the goods, and for each copier and round a docker-registry of its own, empty."""
    program = find("docker-registry")
    assert program is not None
    places: dict[str, list[Place]] = {copier: [] for copier in COPIERS}
    tables = ""
    for number, copier in enumerate(COPIERS):
        for turn in range(rounds):
            folder = root / f"place-{number}-{turn}"
            folder.mkdir()
            place = Place(folder.name, distribution(folder.name, program, folder))
            places[copier].append(place)
            if copier == "mirror":
                tables += f'[[destination]]\nname = "{place.name}"\nurl = "http://{place.host}"\n'
    (root / "node").mkdir()
    node = mirror(root / "node")
    start(node)
    try:
        _push(node, goods)
        node.daemon.stop()
        with (node.root / "mirror.toml").open("a") as config:
            config.write(tables)
        start(node)
        yield node, places
    finally:
        node.daemon.stop()


def _push(node: Registry, goods: Goods) -> None:
    line = Connection(node.port)
    for name, tags in goods.images.items():
        for tag, image in tags.items():
            for blob in image.blobs:
                push_blob(line, name, blob.digest, blob.path, blob.size)
            push_manifest(line, name, tag, image.manifest, MANIFEST_TYPE)
    line.close()


def compare(what: str, root: Path, goods: Goods, rounds: int) -> list[list[str]]:
    """Measure every copier in turn, each first with an empty place and then again; return rows of medians."""
    taken: dict[tuple[str, str], list[Cost]] = {}
    with node_with(root, goods, rounds) as (node, places):
        for turn in range(rounds):
            for copier, copy in COPIERS.items():
                place = places[copier][turn]
                start(place.registry)
                try:
                    for case in (what, f"{what}, again with nothing changed"):
                        cost = costs(node, place, partial(copy, node, place, goods))
                        taken.setdefault((case, copier), []).append(cost)
                        print(f"{case}: {copier}: {goods.count / cost.seconds:.1f}/s", file=sys.stderr)
                    _check(place, goods)
                finally:
                    place.registry.daemon.stop()
    middle = {key: sorted(found, key=lambda cost: cost.cpu_s)[len(found) // 2] for key, found in taken.items()}
    return [_row(case, copier, cost, middle[case, "skopeo sync"], goods) for (case, copier), cost in middle.items()]


def _check(place: Place, goods: Goods) -> None:
    """Compare every digest at the far end."""
    for name, tags in goods.images.items():
        for tag, image in tags.items():
            request = urllib.request.Request(
                f"http://{place.host}/v2/{name}/manifests/{tag}", headers={"Accept": MANIFEST_TYPE}
            )
            with urllib.request.urlopen(request, timeout=COPY_S_MAX) as answer:
                assert answer.headers["Docker-Content-Digest"] == image.digest, f"{name}:{tag}"


def _row(case: str, copier: str, cost: Cost, sync: Cost, goods: Goods) -> list[str]:
    moved = "again" not in case
    return [
        case,
        copier,
        f"{goods.count / cost.seconds:.1f}",
        f"{goods.size / MIB / cost.seconds:.1f}" if moved else "",
        f"{cost.cpu_s * 1e3 / goods.count:.1f}",
        f"{cost.cpu_s * GIB / goods.size:.2f}" if moved else "",
        f"{cost.cpu_s / sync.cpu_s:.2f}",
    ]


def pulls(root: Path, goods: Goods, seconds: float, rounds: int) -> list[list[str]]:
    """Measure warm pulls of a manifest at the node, idle and while it sends the goods to a place."""
    rows: dict[str, list[list[float]]] = {"idle": [], "while it replicates": []}
    name, tags = next(iter(goods.images.items()))
    path = f"/v2/{name}/manifests/{next(iter(tags))}"
    with node_with(root, goods, rounds) as (node, places):
        for place in places["mirror"]:
            start(place.registry)
            try:
                rows["idle"].append(_pulled(node, path, seconds))
                with ThreadPoolExecutor(1) as pool:
                    done = pool.submit(by_us, node, place, goods)
                    rows["while it replicates"].append(_pulled(node, path, seconds))
                    done.result(COPY_S_MAX)
            finally:
                place.registry.daemon.stop()
    medians = {case: [statistics.median(column) for column in zip(*found, strict=True)] for case, found in rows.items()}
    return [
        [case, f"{rate:,.0f}", f"{p50:.2f}", f"{p99:.2f}", f"{bad:.0f}"]
        for case, (rate, p50, p99, bad) in medians.items()
    ]


def _pulled(node: Registry, path: str, seconds: float) -> list[float]:
    load = wrk(node.port, path, 8, seconds)
    return [load.requests / load.seconds, load.p50_ms, load.p99_ms, load.errors]


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="replication side by side")
    parser.add_argument("--quick", action="store_true", help="a few small images, once: shows that it works")
    quick = parser.parse_args().quick
    for program in ("skopeo", "docker-registry", "wrk"):
        if shutil.which(program) is None:
            parser.error(f"{program} is missing")
    count, size, rounds, seconds = (16, 16 * MIB, 1, 1.0) if quick else (IMAGES, LARGE_BYTES, ROUNDS, 5.0)
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        folders = [Path(scratch) / name for name in ("content", "small", "large", "pulls")]
        for folder in folders:
            folder.mkdir()
        content, small, large, pulling = folders
        many, one = small_goods(content, count), large_goods(content, size)
        rows = compare(f"{count} small images", small, many, rounds)
        rows += compare(f"an image of {size // MIB} MiB", large, one, rounds)
        pulled = pulls(pulling, Goods(many.images | one.images), seconds, rounds)
    text = f"\n## Replication: {machine()}\n\n{rounds} rounds in turn, medians by CPU.\n\n"
    text += f"{table(HEADINGS, rows)}\n{table(PULL_HEADINGS, pulled)}"
    record(text, kept=not quick)


if __name__ == "__main__":
    main()
