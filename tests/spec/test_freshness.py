"""Freshness: what costs an upstream call, and which (issue section 4; rules/freshness)."""

import asyncio
import hashlib
import json
from pathlib import Path

import pytest
from lanes import lane_of, warmed
from msgspec.structs import replace
from pulling import pull
from running import cached, running
from standin import OCI_MANIFEST, Fault, Standin

TAG = "/v2/library/app/manifests/v1"


def asked(standin: Standin) -> list[str]:
    """Return what the upstream was asked about manifests, e.g. `HEAD v1`."""
    return [f"{seen.method} {seen.reference}" for seen in standin.asked("manifest")]


async def test_a_tag_inside_its_window_costs_no_call(tmp_path: Path) -> None:
    """`tag_fresh_s`: inside it a tag costs no upstream call; a HEAD nothing more than a GET."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1")
        async with running(tmp_path, upstreams=[cached(standin)]) as node:
            await node.fetch(TAG)
            standin.add_image("library/app", "v1", seed="new")
            for method in ("GET", "HEAD", "GET"):
                async with node.request(method, TAG) as answer:
                    assert answer.headers["Docker-Content-Digest"] == image.digest
                    assert "Warning" not in answer.headers
        assert asked(standin) == ["GET v1"]


async def test_after_its_window_a_tag_costs_one_head(tmp_path: Path) -> None:
    """Then one HEAD, which no registry counts as a pull; what it names is fetched only when it changed."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1")
        async with running(tmp_path, upstreams=[cached(standin, tag_fresh_s=0)]) as node:
            await node.fetch(TAG)
            assert (await node.fetch(TAG))[2] == image.manifest
            assert asked(standin) == ["GET v1", "HEAD v1"]
            standin.forget()
            changed = standin.add_image("library/app", "v1", seed="new")
            assert (await node.fetch(TAG))[2] == changed.manifest
            assert asked(standin) == ["HEAD v1", f"GET {changed.digest}"]
            standin.forget()
            # Back to what is here already: not one byte.
            standin.tags["library/app"]["v1"] = image.digest
            assert (await node.fetch(TAG))[2] == image.manifest
            assert asked(standin) == ["HEAD v1"]


async def test_a_head_that_names_no_digest_is_followed_by_a_get(tmp_path: Path) -> None:
    """Docker-Content-Digest is optional in the specification."""
    async with Standin() as standin:
        standin.add_image("library/app", "v1")
        standin.digest_header = False
        async with running(tmp_path, upstreams=[cached(standin, tag_fresh_s=0)]) as node:
            await node.fetch(TAG)
            changed = standin.add_image("library/app", "v1", seed="new")
            assert (await node.fetch(TAG))[2] == changed.manifest
            assert asked(standin) == ["GET v1", "HEAD v1", "GET v1"]


async def test_many_callers_cost_one_call(tmp_path: Path) -> None:
    """Issue section 4: manifests too: one upstream call for N callers; cold, and when they are re-checked."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1")
        async with running(tmp_path, upstreams=[cached(standin, tag_fresh_s=0)]) as node:
            for path in (TAG, TAG, f"/v2/library/app/manifests/{image.digest}"):
                standin.fault = Fault(on="manifest", delay_s=0.2)
                answers = await asyncio.gather(*(node.fetch(path) for _ in range(20)))
                assert {answer[2] for answer in answers} == {image.manifest}
        assert asked(standin) == ["GET v1", "HEAD v1"]


async def test_a_caller_who_leaves_does_not_spoil_it_for_the_others(tmp_path: Path) -> None:
    """The call belongs to the node, not to the first who asked."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1")
        standin.fault = Fault(on="manifest", hang=True)
        async with running(tmp_path, upstreams=[cached(standin)]) as node:
            first = asyncio.create_task(node.fetch(TAG))
            await standin.stalled.wait()
            second = asyncio.create_task(node.fetch(TAG))
            await asyncio.wait({second}, timeout=0.05)
            first.cancel()
            standin.resume()
            assert (await second)[2] == image.manifest
        assert asked(standin) == ["GET v1"]


async def test_immutable_tags_and_digests_are_never_checked_again(tmp_path: Path) -> None:
    """`immutable_tags`: never re-checked; a digest never means other bytes."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1")
        standin.add_image("library/app", "latest")
        rule = cached(standin, tag_fresh_s=0, immutable_tags=("v*",))
        async with running(tmp_path, upstreams=[rule]) as node:
            for _ in range(3):
                for reference in ("v1", image.digest):
                    assert (await node.fetch(f"/v2/library/app/manifests/{reference}"))[2] == image.manifest
            assert asked(standin) == ["GET v1"]
            await node.fetch("/v2/library/app/manifests/latest")
            await node.fetch("/v2/library/app/manifests/latest")
            assert asked(standin)[1:] == ["GET latest", "HEAD latest"]


async def test_a_tag_that_its_repository_freezes_is_never_updated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ECR.md 2.5, step 4: "Immutable tags are never updated", in both lanes."""
    lane = lane_of(monkeypatch)
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1")
        async with running(tmp_path, upstreams=[cached(standin, tag_fresh_s=0)]) as node:
            await pull(node, image)
            house = node.node._house
            assert house is not None
            (repository,) = house.repositories.all(house.settings.home)
            await house.repositories.change(repository, lambda old: replace(old, mutability="IMMUTABLE"))
            standin.add_image("library/app", "v1", [b"moved"])
            before = asked(standin)
            assert (await node.fetch(TAG))[2] == image.manifest
            await warmed(lane, node, f"GET {TAG} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert (await node.fetch(TAG))[2] == image.manifest
            assert asked(standin) == before


async def test_not_found_is_remembered_briefly(tmp_path: Path) -> None:
    """Issue section 4: not-found cached briefly: a client in a loop costs the upstream nothing."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1")
        none = "sha256:" + "0" * 64
        async with running(tmp_path, upstreams=[cached(standin)]) as node:
            await node.fetch(TAG)
            for _ in range(3):
                for path in ("manifests/nope", f"manifests/{none}", f"blobs/{none}"):
                    status, _, body = await node.fetch(f"/v2/library/app/{path}")
                    assert status == 404
                    assert json.loads(body)["errors"][0]["code"].endswith("_UNKNOWN")
        assert [standin.count("manifest", reference) for reference in ("nope", none)] == [1, 1]
        assert standin.count("blob", none) == 1
        assert image.tag == "v1"


async def test_a_tag_deleted_upstream_is_404_but_its_digest_still_pulls(tmp_path: Path) -> None:
    """404 when upstream said so; bytes that are here by digest are still what they were."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1")
        async with running(tmp_path, upstreams=[cached(standin, tag_fresh_s=0)]) as node:
            await pull(node, image)
            del standin.tags["library/app"]["v1"]
            assert (await node.fetch(TAG))[0] == 404
            await standin.stop()
            assert (await node.fetch(TAG))[0] == 404
            await pull(node, image, image.digest)


async def test_a_failed_head_makes_no_get(tmp_path: Path) -> None:
    """FIELD "Tests to copy", 11: HEAD gets 500 -> no GET on upstream."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1")
        async with running(tmp_path, upstreams=[cached(standin, tag_fresh_s=0)]) as node:
            await node.fetch(TAG)
            standin.forget()
            standin.fault = Fault(on="manifest", method="HEAD", status=500)
            assert (await node.fetch(TAG))[2] == image.manifest
            assert standin.count("manifest", method="GET") == 0


async def test_a_throttled_upstream_is_not_called_until_the_time_it_names(tmp_path: Path) -> None:
    """FIELD "Tests to copy", 10: 429 with Retry-After -> cached tag served stale, zero calls until the time."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1")
        standin.add_image("library/other", "v1")
        async with running(tmp_path, upstreams=[cached(standin, tag_fresh_s=0)]) as node:
            await pull(node, image)
            standin.forget()
            standin.fault = Fault(status=429, headers={"Retry-After": "60"})
            for _ in range(3):
                status, headers, body = await node.fetch(TAG)
                assert (status, body) == (200, image.manifest)
                assert headers["Warning"].startswith("111 ")
            status, headers, _ = await node.fetch("/v2/library/other/manifests/v1")
            assert (status, headers["Retry-After"]) == (503, "60")
            assert standin.count() == 1


async def test_what_upstream_never_had_is_not_made_up_by_age(tmp_path: Path) -> None:
    """A manifest under a tag is the bytes that upstream sent, to the last blank."""
    async with Standin() as standin:
        body = b'{\n "schemaVersion" : 2,\t"layers":[ ], "config":{"mediaType":"a/b","size":2,"digest":"%s"}}  \n' % (
            standin.add_blob(b"{}").encode()
        )
        digest = standin.add_manifest("library/app", "odd", body, OCI_MANIFEST)
        async with running(tmp_path, upstreams=[cached(standin, tag_fresh_s=0)]) as node:
            for reference in ("odd", digest, "odd"):
                status, headers, data = await node.fetch(f"/v2/library/app/manifests/{reference}")
                assert (status, data, headers["Content-Type"]) == (200, body, OCI_MANIFEST)
        assert "sha256:" + hashlib.sha256(body).hexdigest() == digest


async def test_the_last_calls_of_a_quota_are_kept_for_what_nobody_has(tmp_path: Path) -> None:
    """FIELD section 5, item 5: digest misses first, then new tags, then checks of what we could answer ourselves."""
    async with Standin() as standin:
        standin.add_image("library/app", "v1")
        standin.ratelimit = (10, 100, 21_600)
        async with running(tmp_path, upstreams=[cached(standin, tag_fresh_s=0)]) as node:
            for path in (TAG, "/v2/library/app/tags/list"):
                assert (await node.fetch(path))[0] == 200
            standin.forget()
            for path in (TAG, "/v2/library/app/tags/list"):
                status, headers, _ = await node.fetch(path)
                assert (status, "Warning" in headers) == (200, True)
            assert not standin.seen, "a check was paid from the last calls"
            standin.add_image("library/app", "v2", seed="two")
            assert (await node.fetch("/v2/library/app/manifests/v2"))[0] == 200
