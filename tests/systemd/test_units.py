"""The units as shipped, judged by systemd's own tools; each test skips where its tool is not there."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from house_files import ROOT

UNITS = ROOT / "systemd"
SERVICE = UNITS / "mirror.service"
TOOL_S_MAX = 30.0
EXPOSURE_MAX = 11  # tenths
EXPOSURE_CLOSED_MAX = 10


def tool(*words: str, folder: Path = UNITS) -> subprocess.CompletedProcess[str]:
    """Run one of systemd's tools, or skip."""
    if shutil.which(words[0]) is None:
        pytest.skip(f"{words[0]} is not installed here")
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=TOOL_S_MAX, check=False)


def values(unit: Path, section: str, key: str) -> list[str]:
    """All values that a unit gives to `key`: it may stand there several times."""
    part = unit.read_text().partition(f"[{section}]\n")[2].partition("\n[")[0]
    return re.findall(rf"^{key}=(.*)$", part, re.MULTILINE)


def test_the_exposure_as_shipped_is_at_most_1_1() -> None:
    """RELIABILITY G26; issue 5, section 4."""
    done = tool("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", str(SERVICE))
    assert done.returncode == 0, done.stdout


def test_the_exposure_of_a_unit_without_its_sandbox_is_refused(tmp_path: Path) -> None:
    """That the threshold is one: the same unit without a line of the sandbox does not pass."""
    weaker = tmp_path / SERVICE.name
    weaker.write_text(SERVICE.read_text().replace("CapabilityBoundingSet=\n", ""))
    done = tool("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", str(weaker))
    assert done.returncode == 1


def test_the_exposure_on_a_closed_network_is_at_most_1_0(tmp_path: Path) -> None:
    """RELIABILITY G26: with the drop-in that the unit tells of."""
    shutil.copy(SERVICE, tmp_path)
    closed = "\n[Service]\nIPAddressDeny=any\nIPAddressAllow=localhost 10.0.0.0/8\n"
    unit = tmp_path / SERVICE.name
    unit.write_text(unit.read_text() + closed)
    done = tool("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_CLOSED_MAX}", str(unit))
    assert done.returncode == 0, done.stdout


def test_the_units_are_verified(tmp_path: Path) -> None:
    """systemd-analyze(1), verify: no unknown key, no bad value. The program is where the unit says, under a root."""
    for unit in UNITS.iterdir():
        shutil.copy(unit, tmp_path)
    program = shutil.which("true")
    assert program is not None
    service = tmp_path / SERVICE.name
    service.write_text(re.sub(r"/opt/mirror/bin/mirror", program, SERVICE.read_text()))
    done = tool("systemd-analyze", "verify", "./mirror.service", "./mirror.socket", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    service.write_text(service.read_text().replace("WatchdogSec=", "WatchdogSecs="))
    assert "WatchdogSecs" in tool("systemd-analyze", "verify", "./mirror.service", folder=tmp_path).stderr


def test_the_user_and_its_directories_are_made(tmp_path: Path) -> None:
    """sysusers.d(5), tmpfiles.d(5): on an empty system, what the service's user, group and credentials need."""
    if os.geteuid() != 0:
        pytest.skip("directories of another user need root")
    (tmp_path / "etc").mkdir()
    done = tool("systemd-sysusers", f"--root={tmp_path}", str(UNITS / "mirror.sysusers"))
    assert done.returncode == 0, done.stderr
    user = next(line for line in (tmp_path / "etc/passwd").read_text().splitlines() if line.startswith("mirror:"))
    (name,) = values(SERVICE, "Service", "User")
    assert user.split(":")[0] == name
    assert user.split(":")[6].endswith("nologin")
    done = tool("systemd-tmpfiles", f"--root={tmp_path}", "--create", str(UNITS / "mirror.tmpfiles"))
    assert done.returncode == 0, done.stderr
    uid = int(user.split(":")[2])
    for path, mode, owner in (
        ("etc/mirror", 0o750, 0),
        ("etc/mirror/credentials", 0o700, 0),
        ("var/lib/mirror", 0o700, uid),
    ):
        found = (tmp_path / path).stat()
        assert (found.st_mode & 0o7777, found.st_uid) == (mode, owner), path


def test_the_units_agree_with_each_other_and_with_the_node() -> None:
    """What one file says and another relies on."""
    tmpfiles = (UNITS / "mirror.tmpfiles").read_text()
    (credentials,) = values(SERVICE, "Service", "LoadCredential")
    assert f"d {credentials.partition(':')[2]} " in tmpfiles, "a credential that is not there fails the start"
    (start,) = values(SERVICE, "Service", "ExecStart")
    assert start.split()[1:] == ["serve", "--config", "/etc/mirror/mirror.toml"]
    assert values(SERVICE, "Unit", "Requires") == ["mirror.socket"], "SocketBindDeny: the node opens no port itself"
    assert values(SERVICE, "Service", "Type") == ["notify"]
    assert values(SERVICE, "Service", "NotifyAccess") == ["main"]
    readme = (ROOT / "README.md").read_text()
    for unit in UNITS.iterdir():
        assert f"systemd/{unit.name}" in readme, "the README installs each of them"
