"""`mirror sync` and `mirror warm`: lines, exit codes, and what is shown while they work."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from command_line import asked
from processes import write_config
from running import cached, running
from standin import Standin

from mirror.cli import socket as socket_module
from mirror.cli.progress import Bars
from mirror.cli.socket import Refused, reached
from mirror.cli.sync import Screen
from mirror.rules.syncing import SyncRule

APP = "docker.io/library/app"
RULE = SyncRule("base", (APP,), referrers=False)
pytestmark = pytest.mark.usefixtures("logging_of_its_own")


@pytest.fixture
async def standin() -> AsyncIterator[Standin]:
    async with Standin() as standin:
        yield standin


async def test_a_rule_is_planned_run_and_told_of(tmp_path: Path, standin: Standin) -> None:
    """Issue 4, section 3: `sync plan`, `run` and `status`, as lines of columns where there is no terminal."""
    image = standin.add_image("library/app", "v1")
    total = sum(len(standin.blobs[blob]) for blob in (image.config, *image.layers))
    async with running(tmp_path, upstreams=[cached(standin)], syncs=[RULE]):
        planned = await asked(tmp_path, "sync", "plan", "base")
        assert (planned.exit_code, planned.stderr) == (0, "")
        assert planned.stdout == f"{APP}:v1\tnew\t{total}\nTOTAL\t1 of 1\t{total}\n"
        status = await asked(tmp_path, "sync", "status")
        assert status.stdout == "base\ton demand\tnever\tnever\t0\t0\t0\t0\t0\t\n"
        ran = await asked(tmp_path, "sync", "run")
        assert (ran.exit_code, ran.stdout) == (0, f"base\t1\t1\t{total}\t0\t0\n")
        assert ran.stderr.startswith(f"{APP}:v1 new, ")
        (told,) = json.loads((await asked(tmp_path, "sync", "status", "--json")).stdout)["syncs"]
        assert (told["name"], told["running"], told["last"]["bytes"]) == ("base", None, total)


async def test_what_fails_is_said_on_stderr_with_exit_code_1(tmp_path: Path, standin: Standin) -> None:
    """Exit code 1 when an image failed, each with its reason; the others came."""
    standin.add_image("library/app", "v1")
    async with running(tmp_path, upstreams=[cached(standin)]):
        warmed = await asked(tmp_path, "warm", f"{APP}:v1", f"{APP}:none", "--no-referrers", "--json")
        assert warmed.exit_code == 1
        assert json.loads(warmed.stdout)["outcomes"][0]["moved"] == 1
        (line,) = warmed.stderr.splitlines()
        assert line.startswith(f"mirror: {APP}:none: upstream docker.io has no manifest")
        refused = await asked(tmp_path, "sync", "run", "none")
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert "No [[sync]] is called 'none': there is none" in refused.stderr


async def test_an_image_is_warmed_where_no_node_runs(tmp_path: Path, standin: Standin) -> None:
    """A node of its own lives as long as the work, and the next one has what came."""
    standin.add_image("library/app", "v1")
    store = tmp_path / "store"
    config = write_config(tmp_path, listen=["127.0.0.1:0"], upstreams={"docker.io": standin.url})
    async with running(store):
        pass
    for fetched in ("1", "0"):
        warmed = await asked(store, "warm", "app:v1", "--no-referrers", "--config", str(config))
        assert warmed.exit_code == 0
        assert warmed.stdout.startswith(f"warm\t1\t{fetched}\t")


def test_events_are_plain_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """What is the same is no news; no registry's words steer a terminal."""
    event: dict[str, Any] = {"event": "image", "rule": "base", "bytes": 3_000_000, "done": 1, "total": 2}
    with Bars() as bars:
        screen = Screen(bars, quiet=False)
        screen.hear({"event": "moving", "rule": "base", "bytes": 0, "total": 3_000_000})
        screen.hear({**event, "image": "a:v1", "state": "same"})
        screen.hear({**event, "image": "a\x1b[2J:v2", "state": "changed"})
    assert capsys.readouterr().err == "a\\x1b[2J:v2 changed, 3.0 MB\n"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b'{"event": "moving"}\n', "broke off"),
        (None, "has said nothing for"),
    ],
)
async def test_a_node_that_falls_silent_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes | None, said: str
) -> None:
    """A run may take hours: what has an end is the silence."""
    monkeypatch.setattr(socket_module, "IDLE_S_MAX", 0.1)
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + (answer or b""))
        if answer is None:
            await ended.wait()
        writer.close()

    async with (
        await asyncio.start_unix_server(serve, tmp_path / "admin.sock"),
        reached(tmp_path / "admin.sock") as node,
    ):
        with pytest.raises(Refused, match=said):
            await node.follow("syncs", "run", lambda _: None)
        ended.set()
