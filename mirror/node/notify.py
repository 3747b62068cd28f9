"""What the node tells the service manager: ready, how it is, alive, reloading, stopping.

Source: sd_notify(3): lines in one datagram to the socket that NOTIFY_SOCKET names, `@` for a name without a file;
sd_watchdog_enabled(3). Never: waits for long, or fails: a node that cannot tell serves all the same.
"""

import asyncio
import errno
import os
import socket
import time
from collections.abc import Mapping
from typing import Final

from mirror import telemetry

SEND_S_MAX: Final = 2.0  # for room in the manager's queue, which has some hundred places
LOOK_EVERY_S: Final = 0.05
STATUS_CHARS_MAX: Final = 1_000  # a line for people; the manager takes 4096 bytes
_FULL: Final = frozenset({errno.EAGAIN, errno.ENOBUFS})


class Notifier:
    """Tells the manager that `environment` names, or nobody. `watchdog_s`: how long it waits for a beat; 0: none."""

    def __init__(self, environment: Mapping[str, str], pid: int) -> None:
        name = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{name[1:]}" if name.startswith("@") else name
        is_ours = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        text = environment.get("WATCHDOG_USEC", "")
        self.watchdog_s = int(text) / 1e6 if self._address and is_ours and text.isdecimal() else 0.0

    async def ready(self, status: str) -> None:
        await self._tell("READY=1", _status(status))

    async def status(self, status: str) -> None:
        await self._tell(_status(status))

    async def alive(self) -> None:
        await self._tell("WATCHDOG=1")

    async def reloading(self) -> None:
        """Tell that READY=1 comes again. The time lets the manager know which of several reloads it is."""
        await self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    async def stopping(self, within_s: float) -> None:
        """Tell that the node goes, and how long the manager has to wait before it may kill."""
        await self._tell("STOPPING=1", _status("stopping"), f"EXTEND_TIMEOUT_USEC={int(within_s * 1e6)}")

    async def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            async with asyncio.timeout(SEND_S_MAX):
                await _send("\n".join(lines).encode(), self._address)
        except OSError as error:  # a TimeoutError too
            telemetry.log.warning("service manager not told", told=lines[0], reason=repr(error))


async def _send(data: bytes, address: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as sock:
        while True:
            try:
                sock.sendto(data, os.fsencode(address))
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                await asyncio.sleep(LOOK_EVERY_S)
            else:
                return


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())[:STATUS_CHARS_MAX]
