"""Uploads of blobs: every way that distribution-spec, "Pushing blobs", knows, and what is refused on the way."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pushing import ask, code_of, push_blob, read_answers, sha256, sha512
from running import RunningNode, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

DATA = b"some bytes of a layer " * 500
WAIT_S_MAX = 10.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningNode]:
    async with running(tmp_path_factory.mktemp("node")) as node:
        yield node


async def started(node: RunningNode, name: str) -> str:
    """Open a session and return its path."""
    status, headers, _ = await ask(node, "POST", f"/v2/{name}/blobs/uploads/")
    assert status == 202
    assert headers["Location"].startswith(f"/v2/{name}/blobs/uploads/")
    return str(headers["Location"])


async def sent(node: RunningNode, session: str, data: Any, content_range: str = "") -> tuple[int, Any, bytes]:
    headers = {"Content-Range": content_range} if content_range else {}
    return await ask(node, "PATCH", session, data=data, headers=headers)


async def pulled(node: RunningNode, name: str, digest: str) -> bytes:
    status, headers, body = await node.fetch(f"/v2/{name}/blobs/{digest}")
    assert (status, headers["Docker-Content-Digest"]) == (200, digest)
    return body


async def in_pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


@pytest.mark.parametrize("named", [sha256, sha512])
async def test_a_blob_is_pushed_by_one_post(node: RunningNode, named: Any) -> None:
    """distribution-spec, "Single POST": 201 with the blob's Location; CLIENTS quirk 13: by that very digest."""
    digest = named(DATA)
    status, headers, _ = await ask(node, "POST", f"/v2/one/post/blobs/uploads/?digest={digest}", data=DATA)
    assert (status, headers["Location"]) == (201, f"/v2/one/post/blobs/{digest}")
    assert headers["Docker-Content-Digest"] == digest
    assert await pulled(node, "one/post", digest) == DATA


@pytest.mark.parametrize("named", [sha256, sha512])
async def test_a_blob_is_pushed_by_post_then_put(node: RunningNode, named: Any) -> None:
    """distribution-spec, "POST then PUT"."""
    data, name = DATA + b"post put", "post/put"
    session = await started(node, name)
    status, headers, _ = await ask(node, "PUT", f"{session}?digest={named(data)}", data=data)
    assert (status, headers["Location"]) == (201, f"/v2/{name}/blobs/{named(data)}")
    assert await pulled(node, name, named(data)) == data


@pytest.mark.parametrize("named", [sha256, sha512])
async def test_a_blob_is_pushed_in_chunks_the_last_one_by_put(node: RunningNode, named: Any) -> None:
    """distribution-spec, "Pushing a blob in chunks": Content-Range is `a-b`, and each answer says how far it is."""
    data = DATA + b"chunks"
    session = await started(node, "in/chunks")
    for start, end in ((0, 100), (100, 101), (101, 5000)):
        status, headers, _ = await sent(node, session, data[start:end], f"{start}-{end - 1}")
        assert (status, headers["Range"]) == (202, f"0-{end - 1}")
        session = headers["Location"]
    last = {"Content-Range": f"5000-{len(data) - 1}"}
    status, _, _ = await ask(node, "PUT", f"{session}?digest={named(data)}", data=data[5000:], headers=last)
    assert status == 201
    assert await pulled(node, "in/chunks", named(data)) == data


async def test_a_blob_is_streamed_without_length_type_or_range(node: RunningNode) -> None:
    """CLIENTS quirk 10: docker sends one chunked PATCH and an empty PUT."""
    session = await started(node, "streamed")
    head = f"PATCH {session} HTTP/1.1\r\nHost: node\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    body = b"5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n"
    [answer] = read_answers(await node.raw(head + body, until_close=False))
    assert (answer.status, answer.headers["range"]) == (202, "0-11")
    assert (await ask(node, "PUT", f"{session}?digest={sha256(b'hello, world')}"))[0] == 201
    assert await pulled(node, "streamed", sha256(b"hello, world")) == b"hello, world"


async def test_an_empty_blob_is_a_blob(node: RunningNode) -> None:
    """conformance, OCI_DATA_EMPTY_BLOB: no bytes have a digest too."""
    assert (await ask(node, "POST", f"/v2/empty/blobs/uploads/?digest={sha256(b'')}"))[0] == 201
    session = await started(node, "empty")
    assert (await ask(node, "PUT", f"{session}?digest={sha512(b'')}", data=b""))[0] == 201
    for digest in (sha256(b""), sha512(b"")):
        assert await pulled(node, "empty", digest) == b""


async def test_a_cancelled_upload_is_gone(node: RunningNode) -> None:
    """distribution-spec 1.1, "Cancel a blob upload": 204, then 404."""
    session = await started(node, "cancelled")
    await sent(node, session, DATA)
    assert (await ask(node, "DELETE", session))[0] == 204
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        status, _, body = await ask(node, method, f"{session}?digest={sha256(DATA)}")
        assert (status, code_of(body)) == (404, "BLOB_UPLOAD_UNKNOWN"), method


async def test_a_blob_is_mounted_from_where_it_is(node: RunningNode) -> None:
    """distribution-spec, "Mounting a blob from another repository": 201, and no bytes were sent."""
    digest = await push_blob(node, "mount/source", DATA + b"mount")
    mount = f"/v2/mount/target/blobs/uploads/?mount={digest}"
    status, headers, _ = await ask(node, "POST", f"{mount}&from=mount/source")
    assert (status, headers["Location"]) == (201, f"/v2/mount/target/blobs/{digest}")
    assert await pulled(node, "mount/target", digest) == DATA + b"mount"


async def test_a_blob_is_mounted_without_saying_from_where(node: RunningNode) -> None:
    """distribution-spec 1.1: `from` may be left out."""
    digest = await push_blob(node, "mount/source", DATA + b"anonymous mount")
    assert (await ask(node, "POST", f"/v2/mount/anywhere/blobs/uploads/?mount={digest}"))[0] == 201
    assert await pulled(node, "mount/anywhere", digest) == DATA + b"anonymous mount"


@pytest.mark.parametrize("source", ["mount/empty", "mount/none", "Not%20A%20Name", "", "../../x"])
async def test_a_mount_that_cannot_be_is_an_ordinary_upload(node: RunningNode, source: str) -> None:
    """RELIABILITY A9: 202 with a session, whatever stands against it; and the blob is not readable."""
    digest = await push_blob(node, "mount/source", DATA + b"not there")
    await push_blob(node, "mount/empty", b"something else")
    status, headers, _ = await ask(node, "POST", f"/v2/mount/thief/blobs/uploads/?mount={digest}&from={source}")
    assert status == 202
    assert (await node.fetch(f"/v2/mount/thief/blobs/{digest}"))[0] == 404
    assert (await ask(node, "GET", headers["Location"]))[0] == 204


async def test_unknown_query_parameters_are_nobodys_concern(node: RunningNode) -> None:
    """CLIENTS quirk 10: unknown query parameters are ignored."""
    url = f"/v2/more/fields/blobs/uploads/?digest={sha256(DATA)}&_state=x&account=me"
    assert (await ask(node, "POST", url, data=DATA))[0] == 201


async def test_two_requests_do_not_write_to_one_session(node: RunningNode) -> None:
    """One at a time: the second is refused and the first comes to no harm."""
    session = await started(node, "two/writers")
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"first "
        begun.set()
        await go_on.wait()
        yield b"second"

    first = asyncio.ensure_future(sent(node, session, slowly()))
    await begun.wait()
    await reached(node, session, "0-5")
    status, _, body = await sent(node, session, b"thief")
    assert (status, code_of(body)) == (409, "BLOB_UPLOAD_INVALID")
    go_on.set()
    assert (await first)[0] == 202
    assert (await ask(node, "PUT", f"{session}?digest={sha256(b'first second')}"))[0] == 201


async def reached(node: RunningNode, session: str, offset: str) -> None:
    """Ask until the session has taken what was sent: the wire between two sockets has no event."""
    async with asyncio.timeout(WAIT_S_MAX):
        while (await ask(node, "GET", session))[1]["Range"] != offset:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("framing", ["Content-Length: 100", "Transfer-Encoding: chunked"])
async def test_what_came_before_a_break_is_kept(node: RunningNode, framing: str, events: list[Any]) -> None:
    """RELIABILITY section 4, "Restart mid-upload": a broken PATCH is resumed; a client that left is not our fault."""
    session = await started(node, "broken")
    _, writer = await asyncio.open_connection(node.host, node.port)
    body = b"5\r\nbegin\r\n9\r\n" if "chunked" in framing else b"begin"
    writer.write(f"PATCH {session} HTTP/1.1\r\nHost: node\r\n{framing}\r\n\r\n".encode() + body)
    await writer.drain()
    await reached(node, session, "0-4")
    writer.close()
    await writer.wait_closed()
    async with asyncio.timeout(WAIT_S_MAX):
        while (found := await sent(node, session, b", end", "5-9"))[0] == 409:
            await asyncio.sleep(0.01)
    assert found[0] == 202
    assert (await ask(node, "PUT", f"{session}?digest={sha256(b'begin, end')}"))[0] == 201
    assert not [event for event in events if event["log_level"] in ("error", "warning")], events


async def test_a_broken_post_leaves_nothing_behind(tmp_path: Path) -> None:
    """A client of a monolithic POST never learnt the session: what came is of no use to anybody."""
    async with running(tmp_path) as node:
        _, writer = await asyncio.open_connection(node.host, node.port)
        url = f"/v2/broken/post/blobs/uploads/?digest={sha256(DATA)}"
        writer.write(f"POST {url} HTTP/1.1\r\nHost: node\r\nContent-Length: 100\r\n\r\nbegin".encode())
        await writer.drain()
        await seen(tmp_path, begun=True)
        writer.close()
        await seen(tmp_path, begun=False)


async def seen(root: Path, *, begun: bool) -> None:
    """Look until the store has, or no longer has, staged bytes of an upload."""
    async with asyncio.timeout(WAIT_S_MAX):
        while bool([path for path in root.rglob("*") if path.is_file() and "uploads" in path.parts]) != begun:
            await asyncio.sleep(0.01)


async def test_an_upload_is_resumed_after_a_restart_of_the_node(tmp_path: Path) -> None:
    """RELIABILITY section 4, "Restart mid-upload": the offset is what is on disk, and the digest holds over both."""
    async with running(tmp_path) as node:
        session = await started(node, "restarted")
        await sent(node, session, in_pieces(DATA[:4000], DATA[4000:5000]))
    async with running(tmp_path) as node:
        assert (await ask(node, "GET", session.replace("restarted", "other")))[0] == 404
        status, headers, _ = await ask(node, "GET", session)
        assert (status, headers["Range"]) == (204, "0-4999")
        assert (await sent(node, session, DATA[5000:6000], "5000-5999"))[0] == 202
        assert (await ask(node, "PUT", f"{session}?digest={sha256(DATA)}", data=DATA[6000:]))[0] == 201
        assert await pulled(node, "restarted", sha256(DATA)) == DATA
