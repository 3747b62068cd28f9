"""The `mirror` command: what it promises on the command line, and that it says faults instead of showing traces."""

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mirror import __version__
from mirror.cli import main
from mirror.cli.failures import said_plainly
from mirror.cli.places import settings_of, user_data
from mirror.config import ConfigInvalid
from mirror.oci.digest import digest_of
from mirror.oci.errors import StorageFull
from mirror.store.files import Files, StoreLocked

pytestmark = pytest.mark.usefixtures("logging_of_its_own")

GOOD = "[[upstream]]\nname = 'a.io'\nurl = 'https://a.io'\n"


def mirror(*words: str | Path, **environment: str) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], env={"MIRROR_CONFIG": None, **environment})


def test_the_version_is_told() -> None:
    result = mirror("--version")
    assert (result.exit_code, result.output) == (0, f"mirror {__version__}\n")


@pytest.mark.parametrize("command", ["serve", "check", "reindex", "verify", "backup", "restore"])
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    result = mirror(command, "--help")
    assert result.exit_code == 0
    assert f"\n    mirror {command}" in result.output
    assert command in mirror("--help").output


def test_a_good_configuration_is_ok(tmp_path: Path) -> None:
    """Issue, section 2: `mirror check --config FILE` validates it."""
    path = tmp_path / "m.toml"
    path.write_text(GOOD)
    result = mirror("check", "--config", path)
    assert (result.exit_code, result.output) == (0, f"{path}: OK, 1 upstream\n")


def test_check_names_every_fault_and_exits_1(tmp_path: Path) -> None:
    """Issue, section 2: every fault in one pass with its place, exit 1."""
    path = tmp_path / "m.toml"
    path.write_text(GOOD + "urll = 'x'\nroot = 3\n")
    result = mirror("check", MIRROR_CONFIG=str(path))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        f"mirror: {path}:4: upstream[0].urll: unknown key; did you mean url?",
        f"mirror: {path}:5: upstream[0].root: true or false is wanted, not an integer",
    ]


@pytest.mark.parametrize("words", [["check"], ["serv"], ["serve", "--port", "1"], ["verify", "x"]])
def test_wrong_usage_exits_2(words: list[str]) -> None:
    assert mirror(*words).exit_code == 2


@pytest.mark.parametrize("command", ["serve", "reindex", "verify"])
def test_a_bad_configuration_stops_every_command_with_its_faults(command: str, tmp_path: Path) -> None:
    path = tmp_path / "none.toml"
    result = mirror(command, "--config", path)
    assert (result.exit_code, result.stderr) == (1, f"mirror: {path}: cannot be read: No such file or directory\n")


def test_a_bad_address_is_one_plain_line() -> None:
    result = mirror("serve", "--listen", "nonsense")
    assert result.exit_code == 1
    assert result.stderr == "mirror: --listen: 'nonsense' is not HOST:PORT, [IPv6]:PORT or unix:/path\n"


def test_without_anything_data_goes_to_the_users_own_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue, section 1: data in a user directory, nothing to configure, no root."""
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert settings_of(None, (), None).storage.root == Path("/home/somebody/.local/share/mirror")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert user_data() == Path("/home/somebody/.local/share/mirror")
    monkeypatch.setenv("XDG_DATA_HOME", "/xdg")
    assert user_data() == Path("/xdg/mirror")


def test_a_file_decides_unless_the_command_line_does(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text(GOOD)
    assert settings_of(path, (), None).storage.root == Path("/var/lib/mirror")
    assert settings_of(path, (), Path("here")).storage.root == Path.cwd() / "here"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.EADDRINUSE, "127.0.0.1:5000: address already in use"), "127.0.0.1:5000: address already in use"),
        (PermissionError(errno.EACCES, "Permission denied", "/data"), "/data: Permission denied"),
        (StoreLocked("/data is open in another process"), "/data is open in another process"),
        (StorageFull("no space left"), "no space left"),
        (ExceptionGroup("tasks", [ExceptionGroup("inner", [OSError(2, "No such file", "x")])]), "x: No such file"),
        (ConfigInvalid([]), None),
    ],
)
def test_what_an_operator_can_mend_is_one_line(
    error: Exception, line: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught, said_plainly():
        raise error
    assert caught.value.code == 1
    assert capsys.readouterr().err == (f"mirror: {line}\n" if line else "")


@pytest.mark.parametrize("error", [KeyError("x"), ExceptionGroup("two", [OSError(1, "a"), KeyError("b")])])
def test_a_bug_keeps_its_trace(error: Exception) -> None:
    with pytest.raises(type(error)), said_plainly():
        raise error


def serve(data: Path, address: str) -> subprocess.CompletedProcess[str]:
    """Run the whole command as a user does; it must end by itself."""
    return subprocess.run(
        [sys.executable, "-c", "from mirror.cli import main; main()", "serve", "--data", data, "--listen", address],
        check=False,
        capture_output=True,
        text=True,
        timeout=50,
        env={key: value for key, value in os.environ.items() if key != "MIRROR_CONFIG"},
    )


def test_a_data_directory_that_cannot_be_made_is_one_plain_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = serve(tmp_path / "file" / "data", "127.0.0.1:0")
    assert (done.returncode, done.stderr) == (1, f"mirror: {tmp_path / 'file' / 'data'}: Not a directory\n")


def test_a_data_directory_in_use_is_one_plain_line(tmp_path: Path) -> None:
    """DESIGN section 2: one process a storage root."""
    files = Files(tmp_path)
    done = serve(tmp_path, "127.0.0.1:0")
    files.close()
    assert (done.returncode, done.stderr) == (1, f"mirror: {tmp_path} is in use by another process\n")


def test_a_port_in_use_is_one_plain_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        host, port = taken.getsockname()
        done = serve(tmp_path, f"{host}:{port}")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("mirror: ")
    assert str(port) in last
    assert "address already in use" in last


def test_a_new_store_verifies_and_reindexes(tmp_path: Path) -> None:
    """Issue, section 2: `mirror reindex`, `mirror verify`."""
    Files(tmp_path).close()
    result = mirror("verify", "--data", tmp_path)
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (0, "0 faults")
    result = mirror("reindex", "--data", tmp_path)
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (0, "the index is complete")


def test_verify_names_wrong_bytes_and_repair_sets_them_aside(tmp_path: Path) -> None:
    """Issue, section 2: `mirror verify [--repair]`; RELIABILITY, bit rot."""
    digest = digest_of(b"right")
    files = Files(tmp_path)
    files.write(digest, b"wrong")
    files.close()
    assert mirror("verify", "--data", tmp_path).exit_code == 1
    repaired = mirror("verify", "--repair", "--data", tmp_path)
    assert repaired.exit_code == 0
    assert f"{digest}: wrong bytes" in repaired.stderr
    assert mirror("verify", "--data", tmp_path).exit_code == 0
