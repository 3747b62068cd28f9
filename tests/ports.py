"""Ports that stay a test's own while nobody listens on them: a server may start late, or stop and come back."""

import random
import socket
from pathlib import Path
from typing import Final

_LOWEST: Final = 10_000
_USUAL: Final = 32_768  # where Linux begins with those that it gives away; it may be told to begin far below
_EPHEMERAL: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")  # ip(7)


def free_port() -> int:
    """Return a loopback port that is free now, and that the system, as it usually is set, gives to nobody else."""
    begin = int(_EPHEMERAL.read_text().split()[0])
    end = begin if begin > 2 * _LOWEST else _USUAL
    while True:
        port = random.SystemRandom().randrange(_LOWEST, end)
        with socket.socket() as trying:
            try:
                trying.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
