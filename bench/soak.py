"""The soak: all that a node does, at once, for a bounded time: nothing is lost, nothing grows, nobody waits.

One node (bench/launch.py) in front of a docker-registry, both on loopback. Clients push, pull, delete and give up;
lifecycle policies, eviction, collection and the scrub go on meanwhile; what is pulled is compared byte by byte. At the
end everything that must be there is pulled, what is on the disk is held against what is needed, and `mirror verify`
reads all of it. `python -m bench.soak --seconds 90` writes its figures into bench/RESULTS.md; exit 1 on any error.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import aiohttp

from bench.content import MIB
from bench.launch import GRACE_S
from bench.measure import ROOT, machine, record
from bench.memory_use import Memory
from bench.metrics import Metrics
from bench.peers import Registry, distribution, start
from bench.replicate import table
from mirror.cli.socket import Administrator, reached
from tests.clients.programs import find
from tests.ports import free_port
from tests.soaking import KINDS, Client, Image, Soak, make_image

CACHED: Final = 60  # images of the upstream: four times what the cache may have
CACHE_BYTES_MAX: Final = 24 * MIB
LAYER_BYTES: Final = (2_000, 60_000, 1_500_000)
SCRUB_BYTES_S: Final = 64 * MIB
SETTLE_S_MAX: Final = 60.0
LOOK_S: Final = 0.5
VERIFY_S_MAX: Final = 120.0
SAID_MAX: Final = 10  # errors that are printed
HEADINGS: Final = ("what", "figure")
DAMAGE: Final = "blobs that the scrub takes for damaged"
Rows = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes when all is settled: of blobs that our own images need, that are cached, and that nobody needs."""

    owned: int
    cached: int
    unneeded: int
    others: int  # database, index, what is staged


def node_at(root: Path, upstream_port: int) -> Registry:
    port = free_port()
    storage = f'root = "{root}/store"\ncache_bytes_max = {CACHE_BYTES_MAX}\nscrub_bytes_s = {SCRUB_BYTES_S}\n'
    config = root / "mirror.toml"
    config.write_text(
        f'[server]\nlisten = "127.0.0.1:{port}"\n[storage]\n{storage}'
        '[access]\nanonymous = ["pull", "push", "delete"]\n[registry]\ncreate_on_push = true\n'
        f'[[upstream]]\nname = "docker.io"\nroot = true\nurl = "http://127.0.0.1:{upstream_port}"\n'
    )
    return Registry("mirror", [sys.executable, ROOT / "bench" / "launch.py", "serve", "--config", config], port, root)


@contextmanager
def running(root: Path) -> Iterator[tuple[Registry, Registry]]:
    """Run the node and its upstream, each in a folder of its own."""
    program = find("docker-registry")
    assert program is not None
    for name in ("node", "upstream"):
        (root / name).mkdir()
    upstream = distribution("docker-registry", program, root / "upstream")
    node = node_at(root / "node", upstream.port)
    start(upstream)
    try:
        start(node)
        yield node, upstream
    finally:
        node.daemon.stop()
        upstream.daemon.stop()


async def fill_upstream(upstream: Registry, session: aiohttp.ClientSession) -> list[Image]:
    """Push what can be cached; every fourth image has its large layer from the one before."""
    client, random, images = Client(session, f"http://127.0.0.1:{upstream.port}"), Random(1), list[Image]()
    for number in range(CACHED):
        layers = [random.randbytes(size) for size in LAYER_BYTES]
        if number % 4 == 3:
            layers[-1] = images[-1].blobs[-1]
        image = make_image(f"library/app{number % 7}", f"v{number}", layers)
        status, _, body = await client.push(image)
        assert status == 201, body
        images.append(image)
    return images


async def soak_for(seconds: float, node: Registry, upstream: Registry) -> tuple[Soak, Rows, Disk]:
    """Do it all, wait until it has settled, and look at what is left."""
    url = f"http://127.0.0.1:{node.port}"
    async with (
        reached(node.root / "store" / "admin.sock") as administrator,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False) as session,
    ):
        soak = Soak(Client(session, url), administrator, await fill_upstream(upstream, session), grace_s=GRACE_S)
        await soak.prepare()
        assert node.daemon.process is not None
        probing = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.probe", str(node.port), str(seconds), cwd=ROOT, stdout=subprocess.PIPE
        )
        memory = Memory(node.daemon.process.pid)
        watching = asyncio.create_task(memory.watch(), name="memory of the node")
        try:
            await soak.run(KINDS, seconds)
        finally:
            watching.cancel()
        said, _ = await asyncio.wait_for(probing.communicate(), SETTLE_S_MAX)
        metrics = Metrics((await soak.client.ask("GET", "/metrics"))[2].decode())
        disk = await settled(node, soak, administrator)
        await soak.check()
        return soak, [*operations(soak, metrics, seconds), *waiting(json.loads(said), metrics), *memory.rows()], disk


async def settled(node: Registry, soak: Soak, administrator: Administrator) -> Disk:
    """Wait until the cache is within its bounds and nothing is on the disk that nobody needs; say how it is then."""
    end = time.monotonic() + SETTLE_S_MAX
    while True:
        await administrator.own("collection", "collect")
        disk = await asyncio.to_thread(look, node, soak)
        if (disk.cached <= CACHE_BYTES_MAX and not disk.unneeded) or time.monotonic() > end:
            return disk
        await asyncio.sleep(LOOK_S)


def look(node: Registry, soak: Soak) -> Disk:
    owned, cached = digests_of(soak.images), digests_of(soak.upstream)
    sums = dict.fromkeys(("owned", "cached", "unneeded", "others"), 0)
    store = node.root / "store"
    for path in (path for path in store.rglob("*") if path.is_file()):
        kind = "others"
        if path.is_relative_to(store / "blobs"):
            kind = "owned" if path.name in owned else "cached" if path.name in cached else "unneeded"
        try:
            sums[kind] += path.stat().st_size
        except FileNotFoundError:
            continue
    return Disk(**sums)


def digests_of(images: Sequence[Image]) -> set[str]:
    """Return the hexadecimal digests of all that the images are made of."""
    return {digest.partition(":")[2] for image in images for digest in (image.digest, *image.digests)}


def operations(soak: Soak, metrics: Metrics, seconds: float) -> Rows:
    done = dict(soak.done)
    rows = [(name, f"{count:,} ({count / seconds:.1f}/s)") for name, count in sorted(done.items())]
    counted = {
        "images evicted": metrics.sum("mirror_evicted_images_total"),
        "cached: hits": metrics.sum("mirror_pulls_total", upstream="docker.io", outcome="hit"),
        "cached: filled or joined": metrics.sum("mirror_pulls_total", upstream="docker.io", outcome="filled")
        + metrics.sum("mirror_pulls_total", upstream="docker.io", outcome="joined"),
        "MiB scrubbed": metrics.sum("mirror_scrub_bytes_total") / MIB,
        DAMAGE: metrics.sum("mirror_damage_found_total"),
    }
    return rows + [(name, f"{count:,.0f}") for name, count in counted.items()]


def waiting(probed: dict[str, float], metrics: Metrics) -> Rows:
    rows = [(f"GET /healthz every 10 ms: {name.replace('_', ' ')}", f"{value:g}") for name, value in probed.items()]
    lag_s = metrics.quantile("mirror_loop_lag_seconds", 0.999)
    return rows if lag_s is None else [*rows, ("lag of the event loop, p99.9, at most ms", f"{lag_s * 1e3:g}")]


def on_disk(disk: Disk) -> Rows:
    bound = disk.owned + CACHE_BYTES_MAX
    return [
        ("MiB of blobs at the end", f"{(disk.owned + disk.cached + disk.unneeded) / MIB:.1f}"),
        ("MiB of its bound: our own, and `cache_bytes_max`", f"{bound / MIB:.1f}"),
        ("MiB that nobody needs", f"{disk.unneeded / MIB:.1f}"),
        ("MiB of database, index and staged files", f"{disk.others / MIB:.1f}"),
    ]


def verified(node: Registry) -> int:
    """Stop the node and have every byte read; return the faults. Prints what they are."""
    node.daemon.stop()
    command = [sys.executable, "-c", "from mirror.cli import main; main()", "verify", "--config"]
    done = subprocess.run(
        [*command, node.root / "mirror.toml"], capture_output=True, text=True, timeout=VERIFY_S_MAX, check=False
    )
    print(done.stdout + done.stderr)
    return done.returncode


def logged(node: Registry) -> Counter[str]:
    """Count what the node has said that is not as it should be: level and event of its log lines."""
    found: Counter[str] = Counter()
    for line in node.daemon.log.read_text(errors="replace").splitlines():
        said = json.loads(line) if line.startswith("{") else {"level": "error", "event": line}
        if said["level"] != "info":
            found[f"{said['level']}: {said['event']}"] += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="everything at once, for a bounded time")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long; 60 unless told otherwise")
    parser.add_argument("--quick", action="store_true", help="do not write the figures into RESULTS.md")
    words = parser.parse_args()
    if find("docker-registry") is None:
        parser.error("docker-registry is missing: it is the upstream")
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch, running(Path(scratch)) as (node, upstream):
        soak, rows, disk = asyncio.run(soak_for(words.seconds, node, upstream))
        faults, complaints = verified(node), logged(node)
    rows += [*on_disk(disk), ("errors", str(soak.done["errors"])), ("faults that `mirror verify` finds", str(faults))]
    rows += [(f"log: {said}", str(count)) for said, count in complaints.items()]
    for line in soak.faults[:SAID_MAX]:
        print(line, file=sys.stderr)
    text = f"\n## Soak: {machine()}\n\n{words.seconds:.0f} s, all at once.\n\n{table(HEADINGS, rows)}"
    record(text, kept=not words.quick)
    is_left = disk.unneeded or disk.cached > CACHE_BYTES_MAX
    is_said = any(said.startswith(("error", "critical")) for said in complaints) or (DAMAGE, "0") not in rows
    sys.exit(1 if soak.done["errors"] or faults or is_left or is_said else 0)


if __name__ == "__main__":
    main()
