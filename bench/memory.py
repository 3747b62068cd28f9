"""A node that may have 256 MiB, and 200 clients that pull a GiB at once: nobody is killed, nobody cut off.

The blob is all zeros, a hole in the files of its upstream and, once it is here, in ours: the kernel's page cache counts
as the node's memory, the disk's speed does not matter. First it is cold (one fill, which all follow), then it is here.
`python -m bench.memory` writes its table into bench/RESULTS.md; exit 1 where anything is killed or fails.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.cap import Cap, capped
from bench.content import GIB, MIB, Blob
from bench.crowd import Outcome, crowd
from bench.measure import forget_peaks, machine, peak_mib, record
from bench.peers import NAME, Registry, mirror, nginx, start
from bench.replicate import table
from tests.clients.daemons import DaemonDied

CAP_BYTES: Final = 256 * MIB
FAST: Final = 100
SLOW: Final = 100
CASE_S_MAX: Final = 110.0
PUNCH_S_MAX: Final = 20.0
HEADINGS: Final = ("case", "readers", "whole pulls", "GiB/s", "peak RSS MiB", "killed", "errors")


def sparse_blob(folder: Path, size: int) -> Blob:
    """Make a file of `size` zeros that takes no room."""
    path = folder / "zeros"
    path.touch()
    os.truncate(path, size)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Blob(path, f"sha256:{digest}", size)


def punch(path: Path, size: int) -> None:
    """Make zeros on the disk a hole again: the same bytes, that cost no reading."""
    words = ["fallocate", "--punch-hole", "--offset", "0", "--length", str(size), str(path)]
    subprocess.run(words, check=True, timeout=PUNCH_S_MAX)


@contextmanager
def node_with(root: Path, blob: Blob, cap: Cap) -> Iterator[Registry]:
    """Run a capped node before an nginx that has the blob."""
    for name in ("upstream", "node"):
        (root / name).mkdir()
    upstream = nginx(root / "upstream", "upstream")
    upstream.hold(blob)
    node = mirror(root / "node", upstream.port)
    node.daemon.command = cap.command(node.daemon.command)
    start(upstream)
    try:
        start(node)
        yield node
    finally:
        node.daemon.stop()
        upstream.daemon.stop()


def measured(case: str, node: Registry, cap: Cap, path: str) -> tuple[list[str], Outcome]:
    process = node.daemon.process
    assert process is not None
    forget_peaks(process.pid)
    outcome = crowd(node.port, path, FAST, SLOW, CASE_S_MAX)
    if process.poll() is not None:
        raise DaemonDied(f"the node is dead ({cap.kills()} killed): {node.daemon.tail()}")
    kills = cap.kills()
    row = [
        case,
        f"{FAST} fast, {SLOW} slow",
        f"{outcome.whole} of {FAST} in {outcome.seconds:.0f} s",
        f"{outcome.taken / GIB / outcome.seconds:.2f}",
        f"{peak_mib(process.pid):.0f}",
        "no cap" if kills is None else str(kills),
        str(outcome.errors),
    ]
    print(" | ".join(row), file=sys.stderr)
    return row, outcome


def main() -> None:
    parser = argparse.ArgumentParser(description="200 pulls at once in little memory")
    parser.add_argument("--quick", action="store_true", help="a small blob; writes nothing into RESULTS.md")
    words = parser.parse_args()
    if shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        parser.error("nginx is missing: it is the upstream")
    size = 64 * MIB if words.quick else GIB
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch, capped(CAP_BYTES) as cap:
        blob = sparse_blob(Path(scratch), size)
        path = f"/v2/{NAME}/blobs/{blob.digest}"
        with node_with(Path(scratch), blob, cap) as node:
            rows = [measured("cold", node, cap, path)]
            hexadecimal = blob.digest.partition(":")[2]
            punch(node.root / "store" / "blobs" / "sha256" / hexadecimal[:2] / hexadecimal, size)
            rows.append(measured("warm", node, cap, path))
    limits = f"a control group of {CAP_BYTES // MIB} MiB" if cap.made else "no cap: control groups are not ours to make"
    text = f"\n## Memory: {machine()}\n\nA blob of {size // MIB} MiB; {limits}.\n\n"
    text += table(HEADINGS, [row for row, _ in rows])
    record(text, kept=not words.quick)
    sys.exit(1 if cap.made and any(outcome.errors for _, outcome in rows) else 0)


if __name__ == "__main__":
    main()
