"""A blob that only the upstream has, asked for by 1 and by 100 clients at the same moment, and how often it is fetched.

The upstream is nginx over files; each round asks for a blob that nobody has asked for before.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from bench.content import MIB, Blob, make_blob, make_image
from bench.load import readers
from bench.measure import Load
from bench.nginx import files_config
from bench.peers import NAME, Nginx, Peer, running, start
from bench.walk import Bench, Pace, Walk, Work, main
from tests.ports import free_port

BLOB_BYTES: Final = 64 * MIB
QUICK_BLOB_BYTES: Final = 8 * MIB
CROWDS: Final = (1, 100)
SETTLE_S: Final = 0.5


@contextmanager
def set_up(root: Path, pace: Pace) -> Iterator[Bench]:
    upstream = _upstream(root / "upstream")
    size = QUICK_BLOB_BYTES if pace.is_quick else BLOB_BYTES
    upstream.take(make_image(root / "upstream", ()))
    cases = {}
    for clients in CROWDS:
        blobs = [make_blob(root / "upstream", size) for _ in range(pace.rounds)]
        for blob in blobs:
            upstream.hold(blob)
        cases[f"GET {size // MIB} MiB, clients: {clients}"] = _case(upstream, blobs, clients)
    start(upstream)
    try:
        with running(root, upstream.port, "nginx-cache") as peers:
            yield Bench(peers, cases)
    finally:
        upstream.daemon.stop()


def _upstream(root: Path) -> Nginx:
    root.mkdir()
    port = free_port()
    return Nginx("upstream", files_config(root, port, access_log=f"{root}/access.log"), port, root)


def _case(upstream: Nginx, blobs: list[Blob], clients: int) -> Work:
    log = upstream.daemon.log.with_name("access.log")

    def work(peer: Peer, number: int) -> Load:
        line = f'"GET /v2/{NAME}/blobs/{blobs[number].digest} '
        before = log.read_text().count(line)
        load = readers(peer.port, f"/v2/{NAME}/blobs/{blobs[number].digest}", clients)
        # Distribution fetches once more for its store when the client has left; what that costs is its cost too.
        time.sleep(SETTLE_S)
        return replace(load, note=f"{load.note}; upstream GETs: {log.read_text().count(line) - before}")

    return work


WALK: Final = Walk("cold blob", set_up)

if __name__ == "__main__":
    main(WALK)
