"""How late a node answers: GET /healthz every 10 ms on one connection, from a process that does nothing else.

    python -m bench.probe PORT SECONDS          prints {"count": 5990, "errors": 0, "p50_ms": 0.4, ...}

What a client waits for is the work on the request (some 0.2 ms), what the event loop did before it, and the machine.
"""

import json
import sys
import time
from collections.abc import Sequence
from typing import Final

from bench.connection import Connection, request

EVERY_S: Final = 0.01
SHARES: Final = {"p50_ms": 0.5, "p99_ms": 0.99, "p99.9_ms": 0.999, "max_ms": 1.0}


def probe(port: int, seconds: float) -> dict[str, float]:
    """Ask until the time is over; what cannot be asked is an error. Late answers delay the next question."""
    line, words, errors, latencies = Connection(port), request("GET", "/healthz"), 0, list[float]()
    end = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        try:
            line.send(words)
            errors += line.answer().status != 200
        except (ConnectionError, TimeoutError):
            errors += 1
            line = Connection(port)
        latencies.append(time.perf_counter() - begin)
        time.sleep(max(0.0, begin + EVERY_S - time.perf_counter()))
    return {"count": len(latencies), "errors": errors, **shares(latencies)}


def shares(latencies_s: Sequence[float]) -> dict[str, float]:
    """Return the percentiles, in milliseconds."""
    ordered = sorted(latencies_s)
    return {
        name: round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e3, 2)
        for name, share in SHARES.items()
    }


if __name__ == "__main__":
    print(json.dumps(probe(int(sys.argv[1]), float(sys.argv[2]))))
