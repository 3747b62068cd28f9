"""Two lanes, one answer: whatever is sent, the express lane and the normal way send the same bytes."""

import asyncio
import fcntl
import re
import socket
import termios
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from registries import HOME
from running import RunningNode, cached, running
from standin import Image, Standin, sha256

import mirror.node.doorway
from mirror import telemetry
from mirror.oci.digest import parse_digest
from mirror.oci.names import Repository
from mirror.web import server as door

EXAMPLES = 120
LOOKS_MAX = 40  # 20 ms: longer than any packet waits in the node's own loop
EXCHANGE_S_MAX = 10.0
LARGE = bytes(range(256)) * 1024  # beyond what the index holds: sent from its file
LAST = b"GET /v2/ HTTP/1.1\r\nHost: last\r\nConnection: close\r\n\r\n"
OWN = re.compile(rb"(Date|X-Request-Id): [^\r]+")  # each answer has its own


class _Door(door.Server):
    """The node's own server, kept in sight so that its lane can be closed and opened."""

    made: "_Door"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.lane = options["express"]
        type(self).made = self


@dataclass(frozen=True)
class Lanes:
    """A node with warm content in its store, reached by either lane."""

    node: RunningNode
    image: Image
    large: str

    @property
    def targets(self) -> list[str]:
        base = "/v2/library/app"
        return [
            f"{base}/manifests/v1",
            f"{base}/manifests/{self.image.digest}",
            f"{base}/blobs/{self.image.layers[0]}",
            f"{base}/blobs/{self.large}",
            "/v2/docker.io/library/app/manifests/v1?ns=docker.io",
            f"{base}/manifests/v1?ns=docker.io",
        ]

    async def both(self, packets: Iterable[bytes]) -> tuple[bytes, bytes, int]:
        """Send the same packets down both lanes; return both answers, dates masked, and how many the lane gave."""
        packets = list(packets)
        server = _Door.made
        before = taken()
        express = await exchange(self.node, packets)
        count = taken() - before
        server.lobby.express = None
        try:
            return express, await exchange(self.node, packets), count
        finally:
            server.lobby.express = server.lane


def taken() -> int:
    """Count what the lane has answered."""
    telemetry.take_in()
    samples = [sample for family in telemetry.REQUESTS.collect() for sample in family.samples]
    return int(sum(one.value for one in samples if one.name.endswith("_total") and one.labels["lane"] == "express"))


async def exchange(node: RunningNode, packets: Iterable[bytes]) -> bytes:
    """Send packets, each seen on its own by the node, and return what comes until it closes.

    A plain socket: what came before a reset is read, also when a packet came too late to be sent. It is read while the
    packets are sent: a reset throws away what still waits in the node's socket, which is not what is compared here.
    """
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, (node.host, node.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        async with asyncio.timeout(EXCHANGE_S_MAX), asyncio.TaskGroup() as group:
            answer = group.create_task(_received(sock))
            with suppress(ConnectionError):
                for packet in packets:
                    await loop.sock_sendall(sock, packet)
                    await seen(sock)
    return OWN.sub(rb"\1: masked", answer.result())


async def _received(sock: socket.socket) -> bytes:
    loop, got = asyncio.get_running_loop(), b""
    with suppress(ConnectionError):
        while chunk := await loop.sock_recv(sock, 1 << 20):
            got += chunk
    return got


async def seen(sock: socket.socket) -> None:
    """Wait until the node has read what was sent: two packets read as one are another conversation to aiohttp,
    which answers nothing of a packet in which anything is wrong. A node that has stopped reading is not waited for."""
    name = sock.getsockname()
    for _ in range(LOOKS_MAX):
        await asyncio.sleep(0.0005)
        wires = [connection._wire for connection in _Door.made.connections if connection.peername == name]
        ends = [wire.get_extra_info("socket") for wire in wires if not wire.is_closing()]
        waiting = fcntl.ioctl(ends[0].fileno(), termios.FIONREAD, b"1234") if ends else b""
        if waiting == bytes(4):
            return


@asynccontextmanager
async def lanes(root: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> AsyncIterator[Lanes]:
    monkeypatch.setattr(mirror.node.doorway, "Server", _Door)
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1", [b"a small layer", LARGE])
        async with running(root, upstreams=[cached(standin)], **options) as node:
            await node.fetch("/v2/library/app/manifests/v1")
            for blob in (image.config, *image.layers):
                assert (await node.fetch(f"/v2/library/app/blobs/{blob}"))[0] == 200
            await _proved_whole(node, image)
            yield Lanes(node, image, sha256(LARGE))


async def _proved_whole(node: RunningNode, image: Image) -> None:
    """Pull until the index knows that no blob is missing: from then on the manifest may take the lane."""
    key = Repository(HOME, "docker.io", "library/app"), parse_digest(image.digest)
    async with asyncio.timeout(EXCHANGE_S_MAX):
        while (member := _Door.made.lane._index.member(*key)) is None or not member.whole:
            await node.fetch("/v2/library/app/manifests/v1")


async def test_warm_pulls_take_the_lane_and_are_answered_as_on_the_normal_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DESIGN section 4: indistinguishable, for GET and HEAD of manifests and blobs, by tag and digest."""
    async with lanes(tmp_path, monkeypatch) as both:
        for method in ("GET", "HEAD"):
            for target in both.targets:
                request = f"{method} {target} HTTP/1.1\r\nHost: node:5000\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n"
                express, normal, count = await both.both([request.encode(), LAST])
                assert express == normal
                assert count == 1, f"{method} {target}"
                assert express.startswith(b"HTTP/1.1 200 OK\r\n")


# What must not take the lane: header lines, and whether the node closes after the answer.
UNUSUAL = [
    b"User-Agent: a\r\nUser-Agent: b",
    b"Range: bytes=0-3",
    b"If-None-Match: *",
    b"If-Range: x",
    b"Authorization: Basic eDp5",
    b"Cookie: a=b",
    b"Connection: close",
    b"Connection: close\r\nConnection: keep-alive",
    b"Connection: keep-alive\r\nConnection: close",
    b"Connection: keep-alive, upgrade\r\nUpgrade: h2c",
    b"Upgrade: websocket",
    b"Host: again",
    b"Content-Length: 0",
    b"Transfer-Encoding: identity",
    b"Expect: 100-continue",
    b"TE: trailers",
    b"X-Anything: 1",
    b"Accept:\t*/*\t; q=1",
    b"Accept: a\r\n b",
    b"User-Agent: \xff",
    b"Bad Name: x",
    b": x",
    b"\r\n".join([b"Accept: x"] * 130),
]


async def test_the_unusual_goes_the_normal_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DESIGN section 4: everything that is the least bit unusual is left to the normal way."""
    async with lanes(tmp_path, monkeypatch) as both:
        target = both.targets[0].encode()
        for line in UNUSUAL:
            request = b"GET " + target + b" HTTP/1.1\r\nHost: node\r\n" + line + b"\r\n\r\n"
            express, normal, count = await both.both([request, LAST])
            assert (express, count) == (normal, 0), line


MALFORMED = [
    "GET {} HTTP/1.0\r\nHost: node\r\n\r\n",
    "GET {} HTTP/1.1\r\n\r\n",
    "GET {} HTTP/1.1\r\nHost: no de\r\n\r\n",
    "GET {} HTTP/1.1\r\nHost: a@b\r\n\r\n",
    "GET {}%20 HTTP/1.1\r\nHost: node\r\n\r\n",
    "GET {}\u00e9 HTTP/1.1\r\nHost: node\r\n\r\n",
    "GET {}#x HTTP/1.1\r\nHost: node\r\n\r\n",
    "GET http://node{} HTTP/1.1\r\nHost: node\r\n\r\n",
    "GET  {} HTTP/1.1\r\nHost: node\r\n\r\n",
    "GET {} HTTP/1.1\nHost: node\r\n\r\n",
    "get {} HTTP/1.1\r\nHost: node\r\n\r\n",
    "OPTIONS {} HTTP/1.1\r\nHost: node\r\n\r\n",
    "GET {}?ns= HTTP/1.1\r\nHost: node\r\n\r\n",
    "GET {}?ns=other.example HTTP/1.1\r\nHost: node\r\n\r\n",
    "GET {}?n=1 HTTP/1.1\r\nHost: node\r\n\r\n",
]


async def test_the_malformed_and_the_foreign_go_the_normal_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RELIABILITY findings 5 and 6: what the gate refuses, the lane never sees."""
    async with lanes(tmp_path, monkeypatch) as both:
        for head in MALFORMED:
            request = head.format(both.targets[0]).encode()
            express, normal, count = await both.both([request, LAST])
            assert (express, count) == (normal, 0), head


@pytest.mark.parametrize("framing", ["Content-Length: {}", "Transfer-Encoding: chunked", "content-length:{}"])
async def test_a_request_inside_a_body_is_never_answered(
    framing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RELIABILITY G15: no second answer to a smuggled request; the lane stays closed after a body."""
    async with lanes(tmp_path, monkeypatch) as both:
        inner = f"GET {both.targets[0]} HTTP/1.1\r\nHost: node\r\n\r\n".encode()
        body = inner if "{}" in framing else b"%x\r\n%b\r\n0\r\n\r\n" % (len(inner), inner)
        for method in ("GET", "POST", "HEAD"):
            head = f"{method} /v2/ HTTP/1.1\r\nHost: node\r\n{framing.format(len(inner))}\r\n\r\n".encode()
            for packets in ([head, body, LAST], [head + body, LAST]):
                express, normal, count = await both.both(packets)
                assert count == 0
                for answers in (express, normal):
                    assert both.image.digest.encode() not in answers


async def test_pipelined_requests_are_answered_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 9112 section 9.3.2: answers come in the order of the requests, from whichever lane."""
    async with lanes(tmp_path, monkeypatch) as both:
        usual = [f"GET {target} HTTP/1.1\r\nHost: node\r\n\r\n".encode() for target in both.targets]
        ranged = f"GET {both.targets[3]} HTTP/1.1\r\nHost: node\r\nRange: bytes=5-9\r\n\r\n".encode()
        for packets in ([b"".join([*usual, ranged, LAST])], [*usual, ranged, *usual, LAST], [usual[3], usual[0], LAST]):
            express, normal, _ = await both.both(packets)
            assert express == normal


names = st.sampled_from(
    ["Host", "User-Agent", "Accept", "Connection", "Range", "If-None-Match", "Content-Length", "TE"]
)
values = st.sampled_from(
    ["node", "node:5000", "*/*", "keep-alive", "close", "0", "bytes=0-", "bytes=2-1", "", "a b", "x, y", "[::1]:5000"]
)
cases = st.sampled_from([str.lower, str.upper, str.title, str.swapcase])
lines = st.builds(
    lambda name, case, gap, value: f"{case(name)}:{gap}{value}",
    names,
    cases,
    st.sampled_from(["", " ", "  ", "\t"]),
    values,
)
hosts = st.sampled_from([["Host: node"], ["host:node:5000"], ["HOST: 127.0.0.1"], [], ["Host: a b"]])


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[tuple[str, int, str, list[str]]], list[int]]:
    """Draw pipelined requests as (method, number of the target, version, lines), and where to split them."""
    requests = []
    for _ in range(draw(st.integers(1, 4))):
        usual = draw(st.booleans())
        head = draw(hosts) if not usual else ["Host: node"]
        more = draw(st.lists(lines, max_size=3)) if not usual else []
        version = "HTTP/1.1" if usual else draw(st.sampled_from(["HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/3"]))
        method = draw(st.sampled_from(["GET", "GET", "HEAD", "OPTIONS", "get"]))
        requests.append((method, draw(st.integers(0, 9)), version, draw(st.permutations([*head, *more]))))
    return requests, draw(st.lists(st.integers(1, 600), max_size=3))


async def test_generated_requests_are_answered_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DESIGN section 4: the same generated requests down both lanes, every header and byte compared."""
    drawn: list[tuple[list[tuple[str, int, str, list[str]]], list[int]]] = []

    def note(conversation: tuple[list[tuple[str, int, str, list[str]]], list[int]]) -> None:
        drawn.append(conversation)

    settings(max_examples=EXAMPLES, database=None, phases=[Phase.generate])(given(conversations())(note))()
    counts: list[int] = []
    async with lanes(tmp_path, monkeypatch) as both:
        targets = [*both.targets, "/v2/", "/v2/a/manifests/no", f"{both.targets[0]}%2f", "*"]
        for requests, stops in drawn:
            packets = split(
                [
                    "\r\n".join([f"{method} {targets[number]} {version}", *fields, "", ""]).encode()
                    for method, number, version, fields in requests
                ],
                stops,
            )
            express, normal, count = await both.both([*packets, LAST])
            counts.append(count)
            assert express == normal, packets
    assert sum(counts) > EXAMPLES / 10, "the lane was hardly ever taken: the test shows nothing"


def split(requests: list[bytes], stops: list[int]) -> list[bytes]:
    """Cut requests into packets: at `stops` of the whole, or between requests when there are none."""
    if not stops:
        return requests
    whole = b"".join(requests)
    edges = [0, *sorted({stop for stop in stops if stop < len(whole)}), len(whole)]
    return [whole[start:end] for start, end in pairwise(edges)]


async def test_both_lanes_write_the_same_access_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, events: list[Any]
) -> None:
    """DESIGN section 4: metrics and access log count both lanes alike."""
    async with lanes(tmp_path, monkeypatch, access_log=True) as both:
        for target in both.targets:
            for method in ("GET", "HEAD"):
                events.clear()
                request = f"{method} {target} HTTP/1.1\r\nHost: node\r\nConnection: keep-alive\r\n\r\n".encode()
                _, _, count = await both.both([request, LAST])
                assert count == 1
                asked = [event for event in events if event["event"] == "request" and event["target"] != "/v2/"]
                assert len(asked) == 2
                assert len({event.pop("request_id") for event in asked}) == 2
                assert all(event.pop("duration_ms") >= 0 for event in asked)
                assert asked[0] == asked[1]


def counted() -> dict[tuple[str, ...], float]:
    telemetry.take_in()
    families = [*telemetry.REQUESTS.collect(), *telemetry.PULLS.collect(), *telemetry.RESPONSE_BYTES.collect()]
    return {
        (sample.name, *(value for name, value in sorted(sample.labels.items()) if name != "lane")): sample.value
        for family in families
        for sample in family.samples
        if sample.labels.get("lane") != "express"
    } | {
        (
            sample.name,
            *(value for name, value in sorted(sample.labels.items()) if name != "lane"),
            "express",
        ): sample.value
        for family in families
        for sample in family.samples
        if sample.labels.get("lane") == "express"
    }


def grown(before: dict[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
    """Return what was counted since `before`, whichever the lane."""
    since: dict[tuple[str, ...], float] = {}
    for key, value in counted().items():
        plain = tuple(part for part in key if part != "express")
        since[plain] = since.get(plain, 0.0) + value - before.get(key, 0.0)
    return {key: value for key, value in since.items() if value}


async def test_both_lanes_are_counted_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DESIGN section 4: requests, pulls and bytes are the same numbers whichever lane gave the answer."""
    async with lanes(tmp_path, monkeypatch) as both:
        server = _Door.made
        for target in both.targets:
            for method in ("GET", "HEAD"):
                request = f"{method} {target} HTTP/1.1\r\nHost: node\r\n\r\n".encode()
                start = counted()
                await exchange(both.node, [request, LAST])
                express = grown(start)
                server.lobby.express, start = None, counted()
                await exchange(both.node, [request, LAST])
                server.lobby.express = server.lane
                assert express == grown(start), f"{method} {target}"


async def test_a_client_that_asks_and_never_reads_costs_the_memory_of_one_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RELIABILITY G13: pipelining without reading grows no buffer of ours, on either lane."""
    async with lanes(tmp_path, monkeypatch, anonymous=("pull", "push")) as both:
        data = b"x" * 60_000
        await both.node.push_blob("own/app", data, sha256(data))
        request = f"GET /v2/own/app/blobs/{sha256(data)} HTTP/1.1\r\nHost: node\r\n\r\n".encode()
        for packet in (request, request * 8):
            waiting = await _pipeline(both.node, packet)
            assert waiting <= 2 * len(data), f"{waiting} bytes wait in memory"


async def _pipeline(node: RunningNode, packet: bytes) -> int:
    """Ask some hundred times without reading; return the most bytes that ever waited in the node."""
    _, writer = await asyncio.open_connection(node.host, node.port)
    writer.transport.pause_reading()  # type: ignore[attr-defined] # a transport that reads
    most = 0
    try:
        for _ in range(400):
            writer.write(packet)
            await asyncio.sleep(0.0005)
            most = max(
                [most, *(one.transport.get_write_buffer_size() for one in _Door.made.connections if one.transport)]
            )
    finally:
        writer.transport.abort()
    return most


async def test_the_lane_is_off_where_aiohttp_lacks_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, events: list[Any]
) -> None:
    """DESIGN section 4: off, with a log line, when the private attributes are not there."""
    monkeypatch.setattr("mirror.web.connection._NEEDED", ("_no_such_attribute",))
    async with lanes(tmp_path, monkeypatch) as both:
        assert _Door.made.lobby.express is None
        assert [event for event in events if "express lane is off" in event["event"]]
        express, normal, count = await both.both([f"GET {both.targets[0]} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), LAST])
        assert (express, count) == (normal, 0)
        assert express.startswith(b"HTTP/1.1 200 OK")
