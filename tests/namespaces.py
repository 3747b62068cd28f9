"""Two network namespaces and the line between them, which is long, loses packets, and can be cut. Needs root.

async with two_ends() as line:
    line.ends                       # the names of the namespaces: ("ip", "netns", "exec", line.ends[0], ...)
    line.cut(); ...; line.mend()

The line is this process: it takes packets out of one TUN device and puts them into the other. So it needs no more of a
kernel than namespaces and TUN (not every kernel has netem), and what it does to packets is written here.
"""

import asyncio
import fcntl
import os
import random
import shutil
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

ADDRESSES: Final = ("10.213.0.1", "10.213.0.2")
TUN: Final = Path("/dev/net/tun")
TUNSETIFF: Final = 0x400454CA  # linux/if_tun.h
IFF_TUN_NO_PI: Final = 0x1001
PACKET_BYTES_MAX: Final = 65_536
QUEUE_MAX: Final = 1_000  # packets on their way, as a router's buffer has an end


@dataclass
class Line:
    """The line: `delay_s` one way, `loss` of packets each way (0 to 1); it counts what `passed` and was `lost`."""

    ends: tuple[str, str]
    delay_s: float
    loss: float
    dice: random.Random = field(default_factory=lambda: random.Random(8))
    passed: int = 0
    lost: int = 0
    _under_way: int = 0
    _is_cut: bool = False

    def cut(self) -> None:
        """Lose all packets, without a word to anybody."""
        self._is_cut = True

    def mend(self) -> None:
        self._is_cut = False

    def carry(self, source: int, target: int) -> None:
        """Take one packet out of a device, and put it into the other one later."""
        packet = os.read(source, PACKET_BYTES_MAX)
        if self._is_cut or self._under_way >= QUEUE_MAX:
            return
        if self.dice.random() < self.loss:
            self.lost += 1
            return
        self._under_way += 1
        asyncio.get_running_loop().call_later(self.delay_s, self._arrive, target, packet)

    def _arrive(self, target: int, packet: bytes) -> None:
        self._under_way -= 1
        if not self._is_cut:
            os.write(target, packet)
            self.passed += 1


@asynccontextmanager
async def two_ends(delay_s: float, loss: float) -> AsyncIterator[Line]:
    """Make the namespaces, with ADDRESSES, and the line. Skips where that cannot be; leaves nothing behind."""
    if why := _why_not():
        pytest.skip(why)
    names = f"mirror-{os.getpid()}-a", f"mirror-{os.getpid()}-b"
    loop, line = asyncio.get_running_loop(), Line(names, delay_s, loss)
    async with AsyncExitStack() as stack:
        devices = []
        for number, (name, own, other) in enumerate(zip(names, ADDRESSES, reversed(ADDRESSES), strict=True)):
            if said := await _ip("netns", "add", name):
                pytest.skip(f"a network namespace cannot be made here: {said}")
            stack.push_async_callback(_ip, "netns", "delete", name)
            device = f"mirror{os.getpid()}{'ab'[number]}"[-15:]
            devices.append(_tun(device))
            stack.callback(os.close, devices[-1])
            for words in (
                ("link", "set", device, "netns", name),
                ("-n", name, "link", "set", "lo", "up"),
                ("-n", name, "address", "add", own, "peer", other, "dev", device),
                ("-n", name, "link", "set", device, "up"),
            ):
                said = await _ip(*words)
                assert not said, said
        for source, target in (devices, devices[::-1]):
            loop.add_reader(source, line.carry, source, target)
            stack.callback(loop.remove_reader, source)
        stack.callback(line.cut)  # what is under way must not be put into a device that is closed
        yield line


def _why_not() -> str:
    if os.geteuid() != 0:
        return "network namespaces take root"
    if shutil.which("ip") is None:
        return "there is no `ip` here: it makes network namespaces"
    return "" if TUN.exists() else f"there is no {TUN} here: it is the line between two namespaces"


async def _ip(*words: str) -> str:
    """Run a command of `ip`; return why it failed, "" where it did not."""
    running = await asyncio.create_subprocess_exec(
        "ip", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await running.communicate()
    return (said.decode() or str(running.returncode)) if running.returncode else ""


def _tun(name: str) -> int:
    """Make a TUN device; return its descriptor, with which it goes away. Skips where it cannot be made."""
    device = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN_NO_PI))
    except OSError as error:
        os.close(device)
        pytest.skip(f"a TUN device cannot be made here: {error}")
    return device
