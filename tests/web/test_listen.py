"""Listening: names as operators write them, and nobody who may sit at the door for ever."""

import asyncio
import errno
import os
import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from certificates import certify, shown, trust
from waiting import until

from mirror.config.settings import Listen
from mirror.web import listener
from mirror.web.listen import inherited, listen, names
from mirror.web.listener import Listener
from mirror.web.server import Server
from mirror.web.slow import SlowClock

WAIT_S_MAX = 5.0
ASK = b"GET / HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n"


def spawn(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(work, name=name)


def server() -> Server:
    async def here(_: Any) -> Any:
        return web.Response(text="here")

    return Server(here, express=None, slow=SlowClock(), connections_max=10)


async def test_addresses_are_named_as_an_operator_writes_them() -> None:
    """Contract: `listen` takes several, of each kind."""
    opened = await listen(server(), [Listen("127.0.0.1", 0), Listen("::1", 0)], [], None, spawn)
    ports = [one.sockets[0].getsockname()[1] for one in opened]
    assert names(opened) == [f"127.0.0.1:{ports[0]}", f"[::1]:{ports[1]}"]
    for one in opened:
        await one.close()


async def test_a_stop_breaks_nobody_between_the_queue_and_the_first_byte() -> None:
    """RELIABILITY G14: who has knocked is answered by this node or waits for the next, whenever the stop comes."""
    outcomes = [await _stopped_after(turns) for turns in range(8)]
    assert set(outcomes) == {"waits for the next node", "answered"}


async def _stopped_after(turns: int) -> str:
    """Knock, and stop after so many turns of the loop."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as held:
        held.setblocking(False)
        node = server()
        (opened,) = await listen(node, (), [held.dup()], None, spawn)
        with socket.create_connection(held.getsockname()) as client:
            client.sendall(ASK)
            client.setblocking(False)
            for _ in range(turns):
                await asyncio.sleep(0)
            await _leave(node, opened)
            try:
                held.accept()[0].close()
            except BlockingIOError:
                answer = await asyncio.wait_for(loop.sock_recv(client, 4_096), WAIT_S_MAX)
                return "answered" if answer.endswith(b"here") else f"got {answer!r}"
            return "waits for the next node"


async def test_who_shakes_hands_while_the_node_stops_is_answered(tmp_path: Path) -> None:
    """RELIABILITY G14, with TLS: a handshake under way is somebody who has come."""
    node = server()
    certificate, key = certify(tmp_path, "node")
    (opened,) = await listen(node, [Listen("127.0.0.1", 0)], [], shown(certificate, key), spawn)
    with socket.create_connection(opened.sockets[0].getsockname()) as raw:
        raw.setblocking(False)
        await until(lambda: _entering(opened))
        leaving = asyncio.create_task(_leave(node, opened))
        await asyncio.sleep(0)
        reader, writer = await asyncio.open_connection(sock=raw, ssl=trust(certificate), server_hostname="127.0.0.1")
        writer.write(ASK)
        assert (await asyncio.wait_for(reader.read(), WAIT_S_MAX)).endswith(b"here")
        writer.close()
        await leaving


async def _entering(opened: Listener) -> bool:
    return bool(opened._entering)


async def _leave(node: Server, opened: Listener) -> None:
    await opened.close()
    await node.drain(WAIT_S_MAX)


async def test_a_node_out_of_descriptors_accepts_again_when_some_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """accept(2): EMFILE leaves the connection in the queue, and the socket readable: no loss, and no spin."""
    monkeypatch.setattr(listener, "PAUSE_S", 0.05)
    asked = 0
    accept = socket.socket.accept

    def short(sock: socket.socket) -> Any:
        nonlocal asked
        asked += 1
        if asked <= 2:
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(sock)

    monkeypatch.setattr(socket.socket, "accept", short)
    node = server()
    (opened,) = await listen(node, [Listen("127.0.0.1", 0)], [], None, spawn)
    reader, writer = await asyncio.open_connection(*opened.sockets[0].getsockname())
    writer.write(ASK)
    assert (await asyncio.wait_for(reader.read(), WAIT_S_MAX)).endswith(b"here")
    writer.close()
    assert asked <= 5, "two refusals, the connection, and that there is no other"
    await opened.close()


async def test_who_does_not_shake_hands_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RELIABILITY finding 4: a TLS client that says nothing holds no descriptor for long."""
    monkeypatch.setattr(listener, "HANDSHAKE_S_MAX", 0.2)
    (opened,) = await listen(server(), [Listen("127.0.0.1", 0)], [], shown(*certify(tmp_path, "node")), spawn)
    reader, writer = await asyncio.open_connection(*opened.sockets[0].getsockname())
    assert await asyncio.wait_for(reader.read(), WAIT_S_MAX) == b""
    writer.close()
    await opened.close()


@pytest.mark.parametrize("environment", [{}, {"LISTEN_FDS": "2"}, {"LISTEN_FDS": "2", "LISTEN_PID": "1"}])
def test_sockets_meant_for_another_process_are_not_taken(environment: dict[str, str]) -> None:
    """sd_listen_fds(3): LISTEN_PID tells whose they are."""
    assert inherited(environment, os.getpid()) == []
