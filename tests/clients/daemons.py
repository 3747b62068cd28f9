"""Server processes that a test starts and sees to the end of; and short commands, each with a limit.

Never kills by name: a daemon is stopped by the process id that it was started with.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

READY_S_MAX: Final = 20.0  # dockerd takes two seconds on two idle cores; ten times that on a busy machine
STOP_S_MAX: Final = 20.0  # dockerd stops its own containerd first
COMMAND_S_MAX: Final = 50.0  # below the 60 s that pytest gives a test, so that the output is seen
LOOK_EVERY_S: Final = 0.05
LOG_TAIL_CHARACTERS: Final = 2_000
CLOSED_PROXY: Final = (
    "http://127.0.0.1:9"  # the discard port: nobody listens, so no client can fall back to the internet
)


class DaemonDied(Exception):
    """A daemon ended, or was not ready in time; the message ends in the tail of its log."""


class Daemon:
    """One server process on loopback, its output in a file."""

    def __init__(self, command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.command = [*_leash(), *(str(word) for word in command)]
        self.log = log
        self.env = dict(os.environ if env is None else env)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, is_ready: Callable[[], bool]) -> None:
        """Start the process and return when `is_ready`. Raises DaemonDied."""
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self.env, cwd=self.log.parent
            )
        process, is_up = self.process, False
        try:
            is_up = wait_for(lambda: process.poll() is not None or is_ready(), READY_S_MAX) and process.poll() is None
        finally:
            if not is_up:
                self.stop()
        if not is_up:
            raise DaemonDied(f"{' '.join(self.command)} ended, or was not ready in {READY_S_MAX} s: {self.tail()}")

    def stop(self) -> None:
        """Ask the process to end, and end it when it does not."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_S_MAX)
        self.process = None

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:] if self.log.exists() else ""


def _leash() -> list[str]:
    """Say that the daemon ends with its starter: a test run that is killed stops nothing itself, and leaves nothing."""
    setpriv = which("setpriv")
    return [str(setpriv), "--pdeathsig", "TERM", "--"] if setpriv else []


def wait_for(is_so: Callable[[], bool], timeout_s: float) -> bool:
    """Look again and again until `is_so` or the time is over; return the last answer."""
    end = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > end:
            return False
        time.sleep(LOOK_EVERY_S)
    return True


def is_open(port: int) -> bool:
    """Tell whether somebody listens on the loopback port."""
    with socket.socket() as caller:
        caller.settimeout(1.0)
        return caller.connect_ex(("127.0.0.1", port)) == 0


def attempt(
    command: Sequence[str | Path], env: Mapping[str, str] | None = None, said: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with `said` on its standard input."""
    words = [str(word) for word in command]
    return subprocess.run(
        words, env=env, input=said, capture_output=True, text=True, timeout=COMMAND_S_MAX, check=False
    )


def run(command: Sequence[str | Path], env: Mapping[str, str] | None = None, said: str = "") -> str:
    """Run a command to its end and return what it printed. A failure raises AssertionError with all its output."""
    words = [str(word) for word in command]
    done = attempt(words, env, said)
    assert done.returncode == 0, f"{' '.join(words)}\nended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def client_env(home: Path) -> dict[str, str]:
    """Return the environment of a client: a home of its own, and no way out of the machine."""
    home.mkdir(parents=True, exist_ok=True)
    return {
        "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home),
        "HTTP_PROXY": CLOSED_PROXY,
        "HTTPS_PROXY": CLOSED_PROXY,
        "NO_PROXY": "127.0.0.1,localhost",
    }


def which(program: str) -> Path | None:
    """Find a program: daemons live in /usr/sbin, which is not on every user's path."""
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    return Path(found) if found else None
