"""Many readers of one blob in one thread: fast ones take it whole, slow ones a little now and then, to the end.

Bytes are counted and dropped in the kernel: 200 readers of a GiB would measure this client otherwise.
"""

import selectors
import socket
import time
from dataclasses import dataclass
from typing import Final

from bench.connection import READ_BYTES, Connection, request

TICK_S: Final = 0.25
SLOW_TAKE_BYTES: Final = 64 * 1024  # each tick: 256 KiB/s, a poor line and far above what is cut off
SLOW_BUFFER_BYTES: Final = 16 * 1024  # their kernel keeps little: what they do not read waits in the node


@dataclass(slots=True)
class Reader:
    """A reader: how many bytes of the body are still to come, and whether it was cut off or refused."""

    line: Connection
    is_slow: bool
    left: int = 0
    taken: int = 0
    failed: bool = False

    def take(self, count: int) -> None:
        try:
            got = self.line.drop(min(self.left, count))
        except BlockingIOError:
            return
        except OSError:
            self.failed = True
            return
        self.left -= got
        self.taken += got


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a crowd: whole pulls of the fast, the bytes of all, and how many failed."""

    whole: int
    taken: int
    errors: int
    seconds: float


def crowd(port: int, path: str, fast: int, slow: int, seconds_max: float) -> Outcome:
    """Let all ask at once; return when the fast have it whole, or the time is over. Errors: refused or cut off."""
    begin = time.perf_counter()
    readers = [Reader(_line(port, is_slow), is_slow) for is_slow in (False,) * fast + (True,) * slow]
    for reader in readers:
        reader.line.send(request("GET", path))
    for reader in readers:
        answer = reader.line.read_head()
        reader.left, reader.failed = answer.left, answer.status != 200
        reader.line.socket.setblocking(False)
    _read(readers, begin + seconds_max)
    fasts = [reader for reader in readers if not reader.is_slow]
    whole = sum(not reader.left and not reader.failed for reader in fasts)
    errors = sum(reader.failed for reader in readers)
    for reader in readers:
        reader.line.close()
    return Outcome(whole, sum(reader.taken for reader in readers), errors, time.perf_counter() - begin)


def _read(readers: list[Reader], end: float) -> None:
    slow = [reader for reader in readers if reader.is_slow]
    with selectors.DefaultSelector() as ready:
        for reader in readers:
            if not reader.is_slow and not reader.failed:
                ready.register(reader.line, selectors.EVENT_READ, reader)
        tick = time.perf_counter()
        while ready.get_map() and time.perf_counter() < end:
            for key, _ in ready.select(TICK_S):
                key.data.take(READ_BYTES)
                if key.data.failed or not key.data.left:
                    ready.unregister(key.fileobj)
            if time.perf_counter() >= tick:
                tick += TICK_S
                for reader in slow:
                    if reader.left and not reader.failed:
                        reader.take(SLOW_TAKE_BYTES)


def _line(port: int, is_slow: bool) -> Connection:
    line = Connection(port)
    if is_slow:
        line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER_BYTES)
    return line
