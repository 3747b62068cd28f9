"""Two lanes in sight of a test: one connection asked again and again, and who answered it.

lane = lane_of(monkeypatch)                       # before the node starts
wire = await Wire.open(node)
await warmed(lane, node, request)                 # until the express lane answers this very request
status, taken = await express_answers(wire, request)
"""

import asyncio
import re
from dataclasses import dataclass
from typing import Any, Self

import pytest
from running import RunningNode

import mirror.node.doorway
from mirror import telemetry
from mirror.web import server as door
from mirror.web.express import Express

ANSWER_S_MAX = 10.0
_LENGTH = re.compile(rb"\r\nContent-Length: ([0-9]+)\r\n", re.IGNORECASE)
_OWN = re.compile(rb"(Date|X-Request-Id): [^\r]+")  # each answer has its own


class Lane:
    """The express lane of the one node that runs, which can be closed and opened."""

    server: Any = None

    @property
    def express(self) -> Express:
        found = self.server.lane
        assert isinstance(found, Express)
        return found

    def close(self) -> None:
        self.server.lobby.express = None

    def open(self) -> None:
        self.server.lobby.express = self.express


def lane_of(monkeypatch: pytest.MonkeyPatch) -> Lane:
    """Keep the next node's server in sight."""
    lane = Lane()

    class Door(door.Server):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.lane = options["express"]
            lane.server = self

    monkeypatch.setattr(mirror.node.doorway, "Server", Door)
    return lane


@dataclass(slots=True)
class Wire:
    """One connection, asked one request after the other; `ask` returns the answer's bytes with its date masked."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, node: RunningNode) -> Self:
        return cls(*await asyncio.open_connection(node.host, node.port))

    async def ask(self, request: bytes) -> bytes:
        self.writer.write(request)
        async with asyncio.timeout(ANSWER_S_MAX):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            bodiless = request.startswith(b"HEAD ") or head.split(b" ", 2)[1] in (b"204", b"304")
            body = b"" if bodiless or length is None else await self.reader.readexactly(int(length[1]))
        return _OWN.sub(rb"\1: masked", head) + body

    def close(self) -> None:
        self.writer.close()


def taken() -> int:
    """Count what express lanes have answered in this process."""
    telemetry.take_in()
    samples = [sample for family in telemetry.REQUESTS.collect() for sample in family.samples]
    return int(sum(one.value for one in samples if one.name.endswith("_total") and one.labels["lane"] == "express"))


async def express_answers(wire: Wire, request: bytes) -> tuple[int, int]:
    """Ask, and return the status and how many answers the lane gave."""
    before = taken()
    answer = await wire.ask(request)
    return int(answer.split(b" ", 2)[1]), taken() - before


async def warmed(lane: Lane, node: RunningNode, request: bytes) -> None:
    """Ask until the lane answers: the index may lag a moment behind what was pushed or pulled."""
    assert lane.server.lobby.express is not None
    wire = await Wire.open(node)
    async with asyncio.timeout(ANSWER_S_MAX):
        while (await express_answers(wire, request))[1] == 0:
            await asyncio.sleep(0.005)
    wire.close()
