"""What a piece of load cost a server: CPU and memory from /proc, its whole process tree; and the machine's name."""

import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.content import GIB, MIB

TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
COMMAND_S_MAX: Final = 10.0
ROOT: Final = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Load:
    """What a load generator saw. `note` is anything that has no column."""

    requests: int
    body_bytes: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """A load and what it cost the server."""

    load: Load
    cpu_s: float
    rss_mib: float

    @property
    def requests_per_s(self) -> float:
        return self.load.requests / self.load.seconds

    @property
    def gib_per_s(self) -> float:
        return self.load.body_bytes / GIB / self.load.seconds

    @property
    def cpu_us_per_request(self) -> float:
        return self.cpu_s * 1e6 / max(1, self.load.requests)

    @property
    def cpu_s_per_gib(self) -> float:
        return self.cpu_s * GIB / max(1, self.load.body_bytes)


def record(text: str, *, kept: bool) -> None:
    """Print a section of results, and keep it in bench/RESULTS.md."""
    print(text)
    if kept:
        with (ROOT / "bench" / "RESULTS.md").open("a") as results:
            results.write(text)


def measured(pid: int, work: Callable[[], Load]) -> Sample:
    """Run `work` and charge it what the process tree of `pid` used meanwhile. RSS is the highest of that time."""
    forget_peaks(pid)
    before = cpu_s(pid)
    load = work()
    return Sample(load, cpu_s(pid) - before, peak_mib(pid))


def load_of(latencies_s: Sequence[float], body_bytes: int, seconds: float, errors: int = 0, note: str = "") -> Load:
    """Sum up the latencies of an own load generator."""
    ordered = sorted(latencies_s) or [0.0]
    p50, p99 = statistics.median(ordered), ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return Load(len(latencies_s), body_bytes, seconds, p50 * 1e3, p99 * 1e3, errors, note)


def _tree(pid: int) -> list[int]:
    """List a process and all that descend from it."""
    children = " ".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children"))
    return [pid, *(below for child in children.split() for below in _tree(int(child)))]


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process tree has used, user and system."""
    return sum(_own_cpu_s(each) for each in _tree(pid))


def _own_cpu_s(pid: int) -> float:
    """Add utime, stime and those of children that have ended: fields 14 to 17 of stat, after the name in brackets."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / TICKS_PER_S


def forget_peaks(pid: int) -> None:
    for each in _tree(pid):
        Path(f"/proc/{each}/clear_refs").write_text("5")


def peak_mib(pid: int) -> float:
    return sum(_own_peak_kib(each) for each in _tree(pid)) * 1024 / MIB


def _own_peak_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def machine() -> str:
    """Name the machine and the commit: what a row is worth nothing without."""
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    model = cpu.partition(":")[2].strip() or platform.machine()
    cores = os.cpu_count()
    return f"{model}, {cores} cores, Linux {platform.release().split('-')[0]}; commit {commit()}"


def commit() -> str:
    """Name the commit that is measured, with a plus when the tree differs from it."""
    head, changes = _git("rev-parse", "--short", "HEAD"), _git("status", "--porcelain", "--", "mirror")
    return f"{head}{'+' if changes else ''}"


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", "-C", ROOT, *words], capture_output=True, text=True, timeout=COMMAND_S_MAX, check=False
    )
    return done.stdout.strip()
