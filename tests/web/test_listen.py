"""Listening: names as operators write them, and nobody who may sit at the door for ever."""

import asyncio
import os
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mirror.config.settings import Listen
from mirror.web import listen as listening
from mirror.web.listen import inherited, listen, names
from mirror.web.server import Server
from mirror.web.slow import SlowClock

WAIT_S_MAX = 5.0


def server() -> Server:
    async def never(_: Any) -> Any:
        raise AssertionError("nothing is asked here")

    return Server(never, express=None, slow=SlowClock(), connections_max=10)


async def test_addresses_are_named_as_an_operator_writes_them() -> None:
    """Contract: `listen` takes several, of each kind."""
    opened = await listen(server(), [Listen("127.0.0.1", 0), Listen("::1", 0)], [], None)
    ports = [one.sockets[0].getsockname()[1] for one in opened]
    assert names(opened) == [f"127.0.0.1:{ports[0]}", f"[::1]:{ports[1]}"]
    for one in opened:
        one.close()


async def test_who_does_not_shake_hands_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RELIABILITY finding 4: a TLS client that says nothing holds no descriptor for long."""
    monkeypatch.setattr(listening, "HANDSHAKE_S_MAX", 0.2)
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=node -out c -keyout k"
    subprocess.run(["openssl", *words.split()], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "c", tmp_path / "k")
    (opened,) = await listen(server(), [Listen("127.0.0.1", 0)], [], context)
    reader, writer = await asyncio.open_connection(*opened.sockets[0].getsockname())
    assert await asyncio.wait_for(reader.read(), WAIT_S_MAX) == b""
    writer.close()
    opened.close()


@pytest.mark.parametrize("environment", [{}, {"LISTEN_FDS": "2"}, {"LISTEN_FDS": "2", "LISTEN_PID": "1"}])
def test_sockets_meant_for_another_process_are_not_taken(environment: dict[str, str]) -> None:
    """sd_listen_fds(3): LISTEN_PID tells whose they are."""
    assert inherited(environment, os.getpid()) == []
