"""Request ids: whatever speaks of a request names it alike (issue 5, section 4)."""

import asyncio
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from lanes import Wire, express_answers, lane_of, warmed
from pulling import pull
from running import RunningNode, cached, running
from standin import Fault, Standin

MIB = 1024 * 1024
TAG = "/v2/library/app/manifests/v1"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
UNKNOWN = "/v2/library/app/blobs/sha256:" + "0" * 64

Events = list[Any]


def named(request_id: str) -> dict[str, str]:
    return {"X-Request-Id": request_id}


def ids(events: Events, event: str) -> list[str]:
    return [one["request_id"] for one in events if one["event"] == event]


async def read(node: RunningNode, path: str, request_id: str) -> bytes:
    """Pull over a connection of its own."""
    async with aiohttp.ClientSession() as session, session.get(node.url + path, headers=named(request_id)) as response:
        return await response.read()


async def test_every_line_of_a_request_has_its_id_and_the_next_one_has_another(tmp_path: Path, events: Events) -> None:
    """Issue 5, section 4: logs with request ids. The second request comes over the same connection."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1", [bytes(MIB)])
        async with running(tmp_path, upstreams=[cached(standin)], access_log=True) as node:
            await node.fetch(TAG, headers=named("manifest-1"))
            standin.fault = Fault(on="blob", cut_after=100_000, times=1)
            status, _, _ = await node.fetch(f"/v2/library/app/blobs/{image.layers[0]}", headers=named("blob.2_b"))
            assert status == 200
            await node.fetch("/v2/")
    assert ids(events, "fill resumes") == ["blob.2_b"]
    first, second, third = ids(events, "request")
    assert (first, second) == ("manifest-1", "blob.2_b")
    assert UUID.fullmatch(third)
    assert "request_id" not in next(one for one in events if one["event"] == "stopping")


async def test_who_joins_a_fill_leaves_no_id_in_it(tmp_path: Path, events: Events) -> None:
    """A fill outlives who began it, and carries that id and nobody else's."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1", [bytes(MIB)])
        path = f"/v2/library/app/blobs/{image.layers[0]}"
        async with running(tmp_path, upstreams=[cached(standin)], access_log=True) as node:
            await node.fetch(TAG)
            standin.fault = Fault(on="blob", hang_after=100_000, cut_after=200_000, times=1)
            async with asyncio.TaskGroup() as group:
                began = group.create_task(read(node, path, "began"), name="began")
                await standin.stalled.wait()
                async with node.get(path, headers=named("joined")) as joined:
                    standin.resume()
                    assert len(await joined.read()) == MIB
            assert len(began.result()) == MIB
            assert standin.count("blob", image.layers[0]) == 2
    assert set(ids(events, "fill resumes")) == {"began"}
    assert sorted(ids(events, "request")[1:]) == ["began", "joined"]
    assert [one["event"] for one in events if one.get("request_id") == "joined"] == ["request"]


@pytest.mark.parametrize("given", ["a" * 129, "two words", "caf\u00e9", "a;b", "${jndi:x}", ""])
async def test_an_id_that_is_no_plain_word_is_replaced(tmp_path: Path, given: str) -> None:
    """1 to 128 characters of letters, digits, `.`, `_`, `-`: anything else could forge something somewhere."""
    async with running(tmp_path) as node:
        _, headers, _ = await node.fetch(UNKNOWN, headers=named(given))
        assert UUID.fullmatch(headers["X-Request-Id"])


async def test_answers_tell_the_id_where_somebody_may_ask_about_it(tmp_path: Path) -> None:
    """Refusals and changes; reads are the same bytes in both lanes, and have none."""
    async with running(tmp_path) as node:
        for method, path, status in (
            ("GET", UNKNOWN, 404),
            ("POST", "/v2/app/blobs/uploads/", 202),
            ("PUT", "/nowhere", 404),
        ):
            async with node.request(method, path, headers=named("a" * 128)) as response:
                assert (response.status, response.headers["X-Request-Id"]) == (status, "a" * 128)
        _, headers, _ = await node.fetch("/v2/", headers=named("read"))
        assert "X-Request-Id" not in headers
        garbage = await node.raw(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n")
        assert re.search(rb"\r\nX-Request-Id: [0-9a-f-]{36}\r\n", garbage)


async def test_an_aws_call_has_one_id_only(tmp_path: Path, events: Events) -> None:
    """ECR.md 3.1: `x-amzn-RequestId` is the id of a call; the log has the same."""
    target = "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories"
    async with running(tmp_path, access_log=True) as node:
        headers = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"}
        async with node.request("POST", "/", data=b"{}", headers=headers) as response:
            assert response.status == 403
            assert "X-Request-Id" not in response.headers
            told = response.headers["x-amzn-RequestId"]
    assert ids(events, "request") == [told]


async def test_the_audit_has_the_requests_id(tmp_path: Path, events: Events) -> None:
    """CloudTrail guide, "requestID": what support would ask for."""
    async with (
        running(tmp_path, access_log=True) as node,
        node.request("POST", "/v2/app/blobs/uploads/", headers=named("push-7")) as response,
    ):
        assert response.status == 202
    records = [one["record"] for one in events if one["event"] == "audit"]
    assert [(one["eventName"], one["requestID"]) for one in records] == [("InitiateLayerUpload", "push-7")]
    assert ids(events, "audit") == ["push-7"]


async def test_the_access_log_says_who_what_and_how_long(tmp_path: Path, events: Events) -> None:
    """Issue 5, section 4: the access log. A user agent is a stranger's text: no more than 200 characters of it."""
    async with Standin() as standin:
        standin.add_image("library/app", "v1")
        async with running(tmp_path, upstreams=[cached(standin)], access_log=True) as node:
            _, _, body = await node.fetch(TAG, headers={"User-Agent": "x" * 1_000})
    (line,) = [one for one in events if one["event"] == "request"]
    assert line.pop("duration_ms") > 0
    assert UUID.fullmatch(line.pop("request_id"))
    assert line == {
        "event": "request",
        "room": "web.access",
        "log_level": "info",
        "method": "GET",
        "target": TAG,
        "status": 200,
        "bytes": len(body),
        "remote": "127.0.0.1",
        "user_agent": "x" * 200,
        "principal": "anonymous",
        "repository": "docker.io/library/app",
    }


async def test_the_express_lanes_line_has_an_id_and_all_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, events: Events
) -> None:
    """DESIGN section 4: the access log counts both lanes alike."""
    lane = lane_of(monkeypatch)
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1")
        async with running(tmp_path, upstreams=[cached(standin)], access_log=True) as node:
            request = f"GET {TAG} HTTP/1.1\r\nHost: node\r\nUSER-agent:  docker/29 \r\n\r\n".encode()
            await pull(node, image)
            await warmed(lane, node, request)
            wire = await Wire.open(node)
            events.clear()
            assert [await express_answers(wire, request) for _ in range(2)] == [(200, 1), (200, 1)]
            wire.close()
    first, second = (one for one in events if one["event"] == "request")
    assert first["request_id"] != second["request_id"]
    assert UUID.fullmatch(first["request_id"])
    assert first["duration_ms"] > 0
    told = {key: first[key] for key in ("bytes", "user_agent", "principal", "repository", "status")}
    assert told == {
        "bytes": len(image.manifest),
        "user_agent": "docker/29",
        "principal": "anonymous",
        "repository": "docker.io/library/app",
        "status": 200,
    }
