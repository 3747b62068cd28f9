"""The node under the sandbox of its unit, as far as that can be put on without systemd: system calls and memory."""

import re
import shutil
import subprocess
import sys
from ctypes.util import find_library
from functools import cache
from pathlib import Path

import aiohttp
import pytest
from house_files import ROOT
from processes import serving
from standin import sha256

SERVICE = ROOT / "systemd" / "mirror.service"
DATA = bytes(range(256)) * 4_096

# Words: the system calls that are let through, a comma between, `--`, and a command.
LAUNCHER = """
import ctypes, os, sys
ERRNO = 0x00050000 | 1  # SCMP_ACT_ERRNO(EPERM)
ALLOW = 0x7FFF0000
seccomp, libc = ctypes.CDLL("libseccomp.so.2"), ctypes.CDLL(None, use_errno=True)
seccomp.seccomp_init.restype = ctypes.c_void_p
seccomp.seccomp_rule_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint]
seccomp.seccomp_load.argtypes = [ctypes.c_void_p]
# PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN: what MemoryDenyWriteExecute= means, since Linux 6.3.
if libc.prctl(65, 1, 0, 0, 0):
    sys.exit("no PR_SET_MDWE")
context = seccomp.seccomp_init(ERRNO)
for name in sys.argv[1].split(","):
    number = seccomp.seccomp_syscall_resolve_name(name.encode())
    if number >= 0:
        assert seccomp.seccomp_rule_add(context, ALLOW, number, 0) == 0
assert seccomp.seccomp_load(context) == 0
os.execvp(sys.argv[3], sys.argv[3:])
"""


@cache
def group(name: str) -> frozenset[str]:
    """The system calls of a group, with those of the groups in it."""
    done = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True)
    words = [line.strip() for line in done.stdout.splitlines()[1:] if line.strip() and "#" not in line]
    return frozenset().union(*(group(word) if word.startswith("@") else {word} for word in words))


def allowed() -> set[str]:
    """What the unit's SystemCallFilter lines leave, in their order."""
    found: set[str] = set(group("@default"))
    for line in re.findall(r"^SystemCallFilter=(.*)$", SERVICE.read_text(), re.MULTILINE):
        for word in line.removeprefix("~").split():
            calls = group(word) if word.startswith("@") else frozenset({word})
            found = found - calls if line.startswith("~") else found | calls
    return found


def launched() -> list[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed here")
    if find_library("seccomp") is None and not list(Path("/usr/lib").rglob("libseccomp.so.2")):
        pytest.skip("libseccomp is not installed here")
    before = [sys.executable, "-c", LAUNCHER, ",".join(sorted(allowed())), "--"]
    done = subprocess.run([*before, "true"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this kernel has no such sandbox: {done.stderr.strip()}")
    return before


async def test_the_node_serves_under_the_system_calls_and_memory_rules_of_its_unit(tmp_path: Path) -> None:
    """RELIABILITY section 6: MemoryDenyWriteExecute has to be tested with the C extensions that the node loads."""
    before = launched()
    probe = "import os; os.setuid(65534)"
    refused = subprocess.run([*before, sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert "PermissionError" in refused.stderr, "the filter is on"
    async with serving(tmp_path, before=before) as node:
        path = f"/v2/own/app/blobs/{sha256(DATA)}"
        async with aiohttp.ClientSession() as session:
            url = f"{node.url}/v2/own/app/blobs/uploads/?digest={sha256(DATA)}"
            async with session.post(url, data=DATA) as response:
                assert response.status == 201
        assert await node.fetch(path) == (200, DATA)
        assert await node.fetch("/readyz") == (200, b"ok\n")
        assert (await node.fetch("/metrics"))[0] == 200
        assert not [event for event in node.events if event["level"] in ("error", "warning")]
