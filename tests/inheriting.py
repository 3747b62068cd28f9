"""Sockets that a node inherits, as systemd's socket units hand them over: sd_listen_fds(3)."""

import socket
import sys

_LAUNCHER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execvp(sys.argv[2], sys.argv[2:])
"""


def handed(listening: socket.socket) -> list[str]:
    """The words before a command that give it `listening`, which the caller keeps open and passes on."""
    listening.set_inheritable(True)
    return [sys.executable, "-c", _LAUNCHER, str(listening.fileno())]
