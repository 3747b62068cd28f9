"""One blob of 256 MiB, pushed by POST and PUT; nginx takes it by one PUT of WebDAV, without a hash or a sync."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.connection import Connection
from bench.content import MIB, Blob, make_blob
from bench.load import pushes
from bench.measure import Load
from bench.peers import Peer, running
from bench.walk import Bench, Pace, Walk, main

BLOB_BYTES: Final = 256 * MIB
QUICK_BLOB_BYTES: Final = 32 * MIB


@contextmanager
def set_up(root: Path, pace: Pace) -> Iterator[Bench]:
    content, size = root / "content", QUICK_BLOB_BYTES if pace.is_quick else BLOB_BYTES
    content.mkdir()
    blobs = [make_blob(content, size) for _ in range(pace.rounds)]
    os.sync()
    with running(root, nginx_kind="nginx-put") as peers:
        yield Bench(peers, {f"{size // MIB} MiB": lambda peer, number: _push(peer, blobs[number])})


def _push(peer: Peer, blob: Blob) -> Load:
    def push(line: Connection, _: int) -> int:
        peer.push(line, blob)
        return blob.size

    return pushes(peer.port, push, connections=1, count=1)


WALK: Final = Walk("push a large blob", set_up)

if __name__ == "__main__":
    main(WALK)
