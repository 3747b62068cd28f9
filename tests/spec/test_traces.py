"""Traces of the walks, as a collector sees them (issue 5, section 4)."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from accounts import ADMIN, OTHER, OWNER, REGION, STRANGER, allow, policy, populated
from collecting import Collector, attributes, traced
from processes import serving
from pulling import settled
from pushing import push_image
from running import cached, running
from standin import Fault, Standin
from syncing import edge, rule
from waiting import until

MIB = 1024 * 1024
TAG = "/v2/library/app/manifests/v1"
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = {"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": "vendor=1", "X-Request-Id": "pull-1"}


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with Collector() as collector, traced(collector):
        yield collector


@pytest.fixture
async def standin() -> AsyncIterator[Standin]:
    async with Standin() as standin:
        yield standin


async def test_a_pull_is_one_trace_from_the_clients_own_span_to_the_upstream(
    tmp_path: Path, collector: Collector, standin: Standin
) -> None:
    """W3C `traceparent` is taken up, and goes no further: an upstream has no business with it."""
    image = standin.add_image("library/app", "v1", [bytes(MIB)])
    async with running(tmp_path, upstreams=[cached(standin)]) as node:
        await node.fetch(TAG, headers=PARENT)
        standin.fault = Fault(on="blob", cut_after=100_000, times=1)
        path = f"/v2/library/app/blobs/{image.layers[0]}"
        assert (await node.fetch(path, headers=PARENT))[0] == 200
        await settled(node)
    await collector.told()
    manifest, blob = (span for span in collector.named("request") if span.trace_id.hex() == TRACE)
    assert manifest.parent_span_id.hex() == blob.parent_span_id.hex() == CALLER
    assert attributes(manifest) == {
        "method": "GET",
        "target": TAG,
        "request_id": "pull-1",
        "route": "manifest",
        "status": 200,
        "repository": "docker.io/library/app",
    }
    (fetch,) = collector.named("manifest fetch")
    assert collector.parent(fetch) == manifest
    assert attributes(fetch) == {"repository": "docker.io/library/app", "reference": "v1"}
    assert collector.children(fetch)[0] == "upstream call"
    assert "ledger commit" in collector.children(fetch)
    (fill,) = collector.named("blob fill")
    assert collector.parent(fill) == blob
    assert attributes(fill)["digest"] == image.layers[0]
    assert collector.children(fill) == ["upstream call", "upstream call"]
    (resume,) = fill.events
    assert resume.name == "resume"
    assert attributes(resume)["front"] <= 100_000
    assert not [seen for seen in standin.seen if {"traceparent", "tracestate", "x-request-id"} & set(seen.headers)]


async def test_a_stale_tag_is_asked_about_once_and_a_failure_shows(
    tmp_path: Path, collector: Collector, standin: Standin
) -> None:
    """DESIGN walk 1: a HEAD; what upstream answers is in the span of the call."""
    standin.add_image("library/app", "v1")
    async with running(tmp_path, upstreams=[cached(standin, tag_fresh_s=0)]) as node:
        await node.fetch(TAG)
        await node.fetch(TAG)
        standin.fault = Fault(status=404)
        assert (await node.fetch("/v2/library/app/manifests/v2"))[0] == 404
    await collector.told()
    (revalidation,) = collector.named("tag revalidation")
    assert collector.children(revalidation) == ["upstream call"]
    (call,) = (one for one in collector.named("upstream call") if one.parent_span_id == revalidation.span_id)
    assert attributes(call) == {"upstream": "docker.io", "method": "HEAD", "host": "127.0.0.1", "status": 200}
    assert collector.parent(revalidation).name == "request"
    failed = collector.named("manifest fetch")[-1]
    assert (failed.status.message, attributes(collector.parent(failed))["status"]) == ("ManifestUnknown", 404)


async def test_a_push_shows_what_it_waited_for(tmp_path: Path, collector: Collector) -> None:
    """DESIGN walk 3: the commit is the acknowledgement."""
    async with running(tmp_path) as node:
        await push_image(node, "team/app", "v1")
    await collector.told()
    finishes = collector.named("push finish")
    assert len(finishes) == 3  # config, layer, manifest
    for finish in finishes:
        assert "ledger commit" in collector.children(finish)
        assert collector.parent(finish).name == "request"


async def test_a_sync_is_a_walk_of_its_own(tmp_path: Path, collector: Collector, standin: Standin) -> None:
    """Issue 4, section 3: what nobody asked for is still explained."""
    standin.add_image("library/app", "v1")
    async with edge(tmp_path, standin, rule()) as here:
        assert (await here.run())["failed"] == 0
    await collector.told()
    (walk,) = collector.named("sync walk")
    assert attributes(walk) == {"rule": "base"}
    assert "manifest fetch" in collector.children(walk)


async def test_each_order_of_replication_is_a_trace(tmp_path: Path, collector: Collector) -> None:
    """DESIGN walk 5. An order belongs to no request: its worker lives on."""
    lets = policy(allow(OWNER, "ecr:ReplicateImage", "ecr:CreateRepository", Resource="*"))
    rules = {"rules": [{"destinations": [{"region": REGION, "registryId": OTHER}]}]}
    async with populated(tmp_path) as town:
        await town.call(STRANGER, "ecr", "PutRegistryPolicy", policyText=lets)
        await town.call(ADMIN, "ecr", "PutReplicationConfiguration", replicationConfiguration=rules)
        image = await push_image(town.client(ADMIN), "prod/web", "v1")
        asked = {"repositoryName": "prod/web", "imageId": {"imageDigest": image.digest}}

        async def arrived() -> bool:
            _, answer = await town.call(ADMIN, "ecr", "DescribeImageReplicationStatus", **asked)
            return [one["status"] for one in answer["replicationStatuses"]] == ["COMPLETE"]

        await until(arrived)
    await collector.told()
    (order,) = collector.named("replication order")
    assert order.parent_span_id == b""
    assert attributes(order)["image"] == "prod/web:v1"
    assert "ledger commit" in collector.children(order)


async def test_a_served_node_sends_what_its_configuration_says(tmp_path: Path) -> None:
    """`[traces]`: endpoint and sample; a node that stops sends what it has."""
    async with Collector() as collector:
        tables = f'[traces]\nendpoint = "{collector.url}"\nsample = 1'
        async with serving(tmp_path, tables=tables) as node:
            status, _ = await node.fetch("/v2/")
            node.signal(15)
            assert (status, await node.ended()) == (200, 0)
    (request,) = collector.named("request")
    assert attributes(request)["target"] == "/v2/"
    assert re.fullmatch(r"[0-9a-f-]{36}", attributes(request)["request_id"])
