"""Uploads that are refused: out of order, by a wrong name, coded, of somebody else; and what comes to no harm."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from pushing import ask, code_of, read_answers, sha256, sha512
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


async def test_a_chunk_out_of_order_is_refused_and_the_session_says_where_to_go_on(node: RunningNode) -> None:
    """CLIENTS quirk 10: 416, then GET of the upload's URL = 204 with Location and Range; then it goes on."""
    data = DATA + b"order"
    session = await started(node, "out/of/order")
    assert (await sent(node, session, data[:1000], "0-999"))[0] == 202
    for wrong in ("1001-2000", "0-999", "999-1998"):
        status, headers, body = await sent(node, session, data[:1000], wrong)
        assert (status, code_of(body)) == (416, "BLOB_UPLOAD_INVALID"), wrong
        assert (headers["Range"], headers["Location"]) == ("0-999", session)
    status, headers, body = await ask(node, "GET", session)
    assert (status, headers["Range"], headers["Location"], body) == (204, "0-999", session, b"")
    assert (await sent(node, session, data[1000:], f"1000-{len(data) - 1}"))[0] == 202
    assert (await ask(node, "PUT", f"{session}?digest={sha256(data)}"))[0] == 201


async def test_a_last_chunk_out_of_order_is_refused_and_may_be_sent_again(node: RunningNode) -> None:
    """distribution-spec, "Pushing a blob in chunks": a PUT obeys Content-Range as a PATCH does."""
    data = DATA + b"last"
    session = await started(node, "out/of/order")
    assert (await sent(node, session, data[:10]))[0] == 202
    url = f"{session}?digest={sha256(data)}"
    assert (await ask(node, "PUT", url, data=data[20:], headers={"Content-Range": f"20-{len(data) - 1}"}))[0] == 416
    assert (await ask(node, "PUT", url, data=data[10:], headers={"Content-Range": f"10-{len(data) - 1}"}))[0] == 201


@pytest.mark.parametrize("wrong", ["abc", "10-5", "bytes */10", "0-", "\u0660-\u0669", "-5"])
async def test_a_content_range_outside_the_grammar_is_refused(node: RunningNode, wrong: str) -> None:
    """distribution-spec, "Pushing a blob in chunks": `^[0-9]+-[0-9]+$`, ASCII digits only (RELIABILITY A36)."""
    session = await started(node, "bad/range")
    status, _, body = await sent(node, session, b"0123456789", wrong)
    assert (status, code_of(body)) == (400, "UNSUPPORTED")
    assert (await ask(node, "GET", session))[1]["Range"] == "0-0"


@pytest.mark.parametrize("claimed", [sha256(b"other"), sha512(b"other"), "sha512:" + sha256(DATA)[7:] * 2])
@pytest.mark.parametrize("way", ["post", "put"])
async def test_a_wrong_digest_is_refused_and_nothing_is_kept(node: RunningNode, claimed: str, way: str) -> None:
    """RELIABILITY A5: DIGEST_INVALID; neither the claimed nor the true digest is there, and the session is gone."""
    session = await started(node, "wrong/digest")
    url = f"/v2/wrong/digest/blobs/uploads/?digest={claimed}" if way == "post" else f"{session}?digest={claimed}"
    status, _, body = await ask(node, "POST" if way == "post" else "PUT", url, data=DATA + b"wrong")
    assert (status, code_of(body)) == (400, "DIGEST_INVALID")
    for digest in (claimed, sha256(DATA + b"wrong"), sha512(DATA + b"wrong")):
        assert (await node.fetch(f"/v2/wrong/digest/blobs/{digest}"))[0] == 404
    if way == "put":
        assert (await ask(node, "GET", session))[0] == 404


@pytest.mark.parametrize(
    "digest",
    ["", "sha256", "sha256:", "sha256:abc", "sha256:" + "A" * 64, "sha1:" + "a" * 40, "md5:x", "sha256:" + "g" * 64]
    + ["sha256:" + "a" * 63 + "%0a", "sha256:../../etc/passwd", "sha512:" + "a" * 64],
)
async def test_a_malformed_digest_is_refused(node: RunningNode, digest: str) -> None:
    """CLIENTS quirk 14: 400, never 500; wherever a digest can stand."""
    session = await started(node, "bad/digest")
    for method, url in (
        ("PUT", f"{session}?digest={digest}"),
        ("POST", f"/v2/bad/digest/blobs/uploads/?digest={digest}"),
        ("POST", f"/v2/bad/digest/blobs/uploads/?mount={digest}&from=some/other"),
    ):
        status, _, body = await ask(node, method, url, data=b"")
        assert (status, code_of(body)) == (400, "DIGEST_INVALID"), (method, url)


async def test_finishing_takes_a_digest(node: RunningNode) -> None:
    """distribution-spec, "POST then PUT": `digest` is required; the upload is not harmed by its absence."""
    session = await started(node, "no/digest")
    status, _, body = await ask(node, "PUT", session, data=DATA)
    assert (status, code_of(body)) == (400, "DIGEST_INVALID")
    assert (await ask(node, "PUT", f"{session}?digest={sha256(DATA)}", data=DATA))[0] == 201


@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
async def test_a_session_belongs_to_its_repository(node: RunningNode, method: str) -> None:
    """RELIABILITY A9: the session of another repository is unknown, and comes to no harm."""
    session = await started(node, "session/owner")
    await sent(node, session, b"begun")
    elsewhere = session.replace("session/owner", "session/thief")
    status, _, body = await ask(node, method, f"{elsewhere}?digest={sha256(b'begun')}", data=b"")
    assert (status, code_of(body)) == (404, "BLOB_UPLOAD_UNKNOWN")
    assert (await ask(node, "GET", session))[1]["Range"] == "0-4"


@pytest.mark.parametrize("session", ["nonsense", "0" * 32, "0" * 31, "0" * 33, "A" * 32, "..", "."])
async def test_a_made_up_session_is_unknown(node: RunningNode, session: str) -> None:
    """RELIABILITY A27: a session's name is 32 hexadecimal digits of ours, never a path."""
    raw = await node.raw(f"GET /v2/made/up/blobs/uploads/{session} HTTP/1.0\r\n\r\n".encode())
    [answer] = read_answers(raw)
    assert (answer.status, code_of(answer.body)) == (404, "BLOB_UPLOAD_UNKNOWN")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "identity, gzip", "GZIP"])
@pytest.mark.parametrize("way", ["POST", "PATCH", "PUT"])
async def test_a_coded_upload_is_refused_and_never_decoded(node: RunningNode, coding: str, way: str) -> None:
    """RELIABILITY A3 and finding 3: 415, and the session has not taken a byte."""
    session = await started(node, "coded")
    url = "/v2/coded/blobs/uploads/" if way == "POST" else session
    head = f"{way} {url}?digest={sha256(DATA)} HTTP/1.1\r\nHost: node\r\nContent-Encoding: {coding}\r\n"
    raw = await node.raw(head.encode() + b"Content-Length: 3\r\nConnection: close\r\n\r\nabc")
    [answer] = read_answers(raw)
    assert (answer.status, code_of(answer.body)) == (415, "UNSUPPORTED")
    assert (await ask(node, "GET", session))[1]["Range"] == "0-0"


async def test_errors_of_uploads_carry_their_detail_as_json(node: RunningNode) -> None:
    """RELIABILITY A28: what a client sent comes back only as escaped JSON text."""
    status, headers, body = await ask(node, "POST", '/v2/x/blobs/uploads/?digest="<script>%0d%0aSet-Cookie:%20a')
    assert (status, headers["Content-Type"]) == (400, "application/json")
    assert "Set-Cookie" not in headers
    assert json.loads(body)["errors"][0]["code"] == "DIGEST_INVALID"
