"""Healthy clients beside a thousand slow ones: who sends a head, sends a body or reads an answer by the drop.

Slow heads trickle a byte a second and are cut after 15 s: then they come anew. Slow bodies and readers move 2 KiB a
second, twice what the node asks for, so that all of them stay. `python -m bench.slow_clients` writes its table into
bench/RESULTS.md.
"""

import argparse
import resource
import shutil
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.connection import request
from bench.content import KIB, MIB, Image, make_image
from bench.load import wrk
from bench.measure import cpu_s, machine, record
from bench.peers import NAME, Registry, mirror, start
from bench.replicate import table

SLOW: Final = 1_000
LAYER_BYTES: Final = 64 * MIB  # more than a reader of 2 KiB/s and all buffers on the way take
DROP_BYTES: Final = 2 * KIB
TICK_S: Final = 1.0
BUFFER_BYTES: Final = 4 * KIB
SETTLE_S: Final = 2.0
ROUNDS: Final = 3
SECONDS: Final = 5.0
CONNECTIONS: Final = 8
FDS: Final = 2 * SLOW
HEADINGS: Final = ("beside", "slow ones at the end", "requests/s", "p50 ms", "p99 ms", "CPU us/request", "errors")

Drop = Callable[[socket.socket, int], None]


def opening(kind: str, image: Image) -> bytes:
    """What a slow client says at once."""
    if kind == "slow heads":
        return b"GET /v2/ HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
    if kind == "slow readers":
        return request("GET", f"/v2/{NAME}/blobs/{image.blobs[1].digest}")
    blob = image.blobs[1]
    return request("POST", f"/v2/{NAME}/blobs/uploads/?digest={blob.digest}", f"Content-Length: {blob.size}\r\n")


def dropping(kind: str) -> Drop:
    """How a slow client goes on. Raises OSError when it was cut off."""

    def send_one(sock: socket.socket, _: int) -> None:
        sock.send(b"x")

    def send_some(sock: socket.socket, count: int) -> None:
        sock.send(b"x" * count)

    def read_some(sock: socket.socket, count: int) -> None:
        if not sock.recv(count):
            raise ConnectionError("cut off")

    return {"slow heads": send_one, "slow bodies": send_some, "slow readers": read_some}[kind]


class Slow:
    """`count` slow clients of one kind in a thread; who is cut off comes anew."""

    def __init__(self, port: int, kind: str, count: int, image: Image) -> None:
        self._address = ("127.0.0.1", port)
        self._opening = opening(kind, image)
        self._drop = dropping(kind)
        self._stopped = threading.Event()
        self.cut = 0
        self.socks = [self._come() for _ in range(count)]

    def _come(self) -> socket.socket:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        sock.settimeout(TICK_S)
        sock.connect(self._address)
        sock.sendall(self._opening)
        sock.setblocking(False)
        return sock

    def run(self) -> None:
        """Trickle, all of them once in a tick, spread over it, until stopped."""
        while not self._stopped.is_set():
            begin = time.perf_counter()
            for number, sock in enumerate(self.socks):
                self._go_on(number, sock)
                ahead = begin + TICK_S * number / len(self.socks) - time.perf_counter()
                if ahead > 0.01 and self._stopped.wait(ahead):
                    break

    def _go_on(self, number: int, sock: socket.socket) -> None:
        try:
            self._drop(sock, DROP_BYTES)
        except BlockingIOError:
            pass
        except OSError:
            sock.close()
            self.cut += 1
            self.socks[number] = self._come()

    def stop(self) -> None:
        self._stopped.set()
        for sock in self.socks:
            sock.close()


@contextmanager
def beside(port: int, kind: str, count: int, image: Image) -> Iterator[Slow | None]:
    """Have slow clients of a kind in the block; none for "nobody"."""
    if kind == "nobody":
        yield None
        return
    slow = Slow(port, kind, count, image)
    thread = threading.Thread(target=slow.run, name=kind)
    thread.start()
    try:
        time.sleep(SETTLE_S)
        yield slow
    finally:
        slow.stop()
        thread.join()


def measured(node: Registry, kind: str, count: int, image: Image, seconds: float) -> list[float]:
    """Return open connections, requests/s, p50 and p99 in ms, CPU us/request and errors of the healthy clients."""
    assert node.daemon.process is not None
    pid = node.daemon.process.pid
    with beside(node.port, kind, count, image) as slow:
        before = cpu_s(pid)
        load = wrk(node.port, f"/v2/{NAME}/manifests/latest", CONNECTIONS, seconds)
        used = cpu_s(pid) - before
        there = len(slow.socks) if slow else 0
        print(f"{kind}: p99 {load.p99_ms:.2f} ms, {slow.cut if slow else 0} cut off", file=sys.stderr)
    return [there, load.requests / load.seconds, load.p50_ms, load.p99_ms, used * 1e6 / load.requests, load.errors]


def main() -> None:
    parser = argparse.ArgumentParser(description="healthy clients beside slow ones")
    parser.add_argument("--quick", action="store_true", help="a few, once: shows that it works")
    quick = parser.parse_args().quick
    if shutil.which("wrk") is None:
        parser.error("wrk is missing: it is the healthy clients")
    count, rounds, seconds = (50, 1, 1.0) if quick else (SLOW, ROUNDS, SECONDS)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(FDS, 4_096)), hard))
    found: dict[str, list[list[float]]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        root = Path(scratch)
        for name in ("content", "node"):
            (root / name).mkdir()
        image, node = make_image(root / "content", (LAYER_BYTES,)), mirror(root / "node")
        start(node)
        try:
            node.take(image)
            for _ in range(rounds):
                for kind in ("nobody", "slow heads", "slow bodies", "slow readers"):
                    found.setdefault(kind, []).append(measured(node, kind, count, image, seconds))
        finally:
            node.daemon.stop()
    medians = {kind: [statistics.median(column) for column in zip(*each, strict=True)] for kind, each in found.items()}
    rows = [
        [kind, f"{there:.0f}", f"{rate:,.0f}", f"{p50:.2f}", f"{p99:.2f}", f"{cpu:.1f}", f"{errors:.0f}"]
        for kind, (there, rate, p50, p99, cpu, errors) in medians.items()
    ]
    how = f"Warm manifest GETs; {rounds} rounds of {seconds:.0f} s in turn, medians."
    text = f"\n## Slow clients: {machine()}\n\n{how}\n\n{table(HEADINGS, rows)}"
    record(text, kept=not quick)


if __name__ == "__main__":
    main()
