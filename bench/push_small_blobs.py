"""Many blobs of 4 KiB, each pushed by POST and PUT; nginx takes them by one PUT of WebDAV and syncs nothing to disk."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.connection import Connection
from bench.content import SMALL_BYTES, Blob, make_blob
from bench.load import pushes
from bench.measure import Load
from bench.peers import Peer, running
from bench.walk import Bench, Pace, Walk, main

CONNECTIONS: Final = 16
BLOBS: Final = 1_000
QUICK_BLOBS: Final = 200


@contextmanager
def set_up(root: Path, pace: Pace) -> Iterator[Bench]:
    content, count = root / "content", QUICK_BLOBS if pace.is_quick else BLOBS
    content.mkdir()
    rounds = [[make_blob(content, SMALL_BYTES) for _ in range(count)] for _ in range(pace.rounds)]
    # What was written for the bench is on the disk before the bench writes: its writing back is not charged to a peer.
    os.sync()
    with running(root, nginx_kind="nginx-put") as peers:
        yield Bench(peers, {f"{CONNECTIONS} connections": lambda peer, number: _push(peer, rounds[number])})


def _push(peer: Peer, blobs: list[Blob]) -> Load:
    def push(line: Connection, number: int) -> int:
        peer.push(line, blobs[number])
        return blobs[number].size

    return pushes(peer.port, push, CONNECTIONS, len(blobs))


WALK: Final = Walk("push 4 KiB blobs", set_up)

if __name__ == "__main__":
    main(WALK)
