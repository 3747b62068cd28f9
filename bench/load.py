"""Load generators: wrk for warm GETs, raw sockets for what wrk cannot do (HEAD, one cold blob, pushes)."""

import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

from bench.connection import Connection, request
from bench.content import MANIFEST_TYPE
from bench.measure import Load, load_of

SCRIPT: Final = Path(__file__).with_name("wrk.lua")
ACCEPT: Final = f"Accept: {MANIFEST_TYPE}\r\n"
WRK_EXTRA_S_MAX: Final = 30.0


def wrk(port: int, path: str, connections: int, seconds: float, header: str = "") -> Load:
    """GET one path over and over. wrk counts heads among the bytes: a few hundred a request."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--timeout", "20s", "-s", str(SCRIPT)]
    command += ["-H", header] if header else []
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}{path}"],
        capture_output=True,
        text=True,
        timeout=seconds + WRK_EXTRA_S_MAX,
        check=True,
    )
    row = next(line for line in done.stdout.splitlines() if line.startswith("ROW"))
    requests, size, duration_us, p50_us, p99_us, errors = (int(word) for word in row.split()[1:])
    return Load(requests, size, duration_us / 1e6, p50_us / 1e3, p99_us / 1e3, errors)


def heads(port: int, path: str, connections: int, seconds: float) -> Load:
    """HEAD one path over and over, on all connections and then again; the rate is bounded by this client.

    All are asked before the first answer is read, so that a server has several to answer at a time, as with wrk.
    """
    words, latencies, errors = request("HEAD", path, ACCEPT), list[float](), 0
    lines = [Connection(port) for _ in range(connections)]
    begin = now = time.perf_counter()
    while now < begin + seconds:
        sent = now
        for line in lines:
            line.send(words)
        for line in lines:
            errors += line.read_head(with_body=False).status != 200
            now = time.perf_counter()
            latencies.append(now - sent)
    for line in lines:
        line.close()
    return load_of(latencies, 0, now - begin, errors)


def readers(port: int, path: str, clients: int) -> Load:
    """Let `clients` GET the same path at the same moment, once each; latencies are to the last byte."""
    begin = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        reads = list(pool.map(lambda _: _read(port, path, begin), range(clients)))
    seconds = time.perf_counter() - begin
    firsts, lasts = [first for first, _, _ in reads], [last for _, last, _ in reads]
    note = f"first byte at the last client after {max(firsts) * 1e3:.0f} ms"
    return load_of(lasts, sum(size for _, _, size in reads), seconds, sum(size == 0 for _, _, size in reads), note)


def repeated(port: int, path: str, clients: int, seconds: float) -> Load:
    """Let `clients` GET the same path, again when all have it, until the time is over."""
    end, loads = time.perf_counter() + seconds, [readers(port, path, clients)]
    while time.perf_counter() < end:
        loads.append(readers(port, path, clients))
    middle = sorted(loads, key=lambda load: load.p50_ms)[len(loads) // 2]
    return replace(
        middle,
        requests=sum(load.requests for load in loads),
        body_bytes=sum(load.body_bytes for load in loads),
        seconds=sum(load.seconds for load in loads),
        errors=sum(load.errors for load in loads),
        note="",
    )


def _read(port: int, path: str, begin: float) -> tuple[float, float, int]:
    """Return when the first byte of the body came, when the last, and how many there were (0: it failed)."""
    line = Connection(port)
    try:
        line.send(request("GET", path))
        answer = line.read_head()
        left = answer.left
        if left == answer.length and left:
            left -= line.drop(left)
        first = time.perf_counter() - begin
        while left:
            left -= line.drop(left)
    except (ConnectionError, TimeoutError):
        return time.perf_counter() - begin, time.perf_counter() - begin, 0
    finally:
        line.close()
    return first, time.perf_counter() - begin, answer.length if answer.status == 200 else 0


def pushes(port: int, push: Callable[[Connection, int], int], connections: int, count: int) -> Load:
    """Call `push` (it returns the bytes pushed) `count` times in all, from `connections` connections at once."""
    begin = time.perf_counter()
    with ThreadPoolExecutor(connections) as pool:
        spans = [range(start, count, connections) for start in range(connections)]
        done = list(pool.map(lambda span: _push_all(port, push, span), spans))
    seconds = time.perf_counter() - begin
    latencies = [latency for each, _, _ in done for latency in each]
    return load_of(latencies, sum(size for _, size, _ in done), seconds, sum(errors for _, _, errors in done))


def _push_all(port: int, push: Callable[[Connection, int], int], numbers: range) -> tuple[list[float], int, int]:
    line, latencies, size, errors = Connection(port), list[float](), 0, 0
    for number in numbers:
        begin = time.perf_counter()
        try:
            size += push(line, number)
        except (AssertionError, ConnectionError, TimeoutError):
            errors += 1
            line.close()
            line = Connection(port)
        latencies.append(time.perf_counter() - begin)
    line.close()
    return latencies, size, errors
