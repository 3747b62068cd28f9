"""No network at all: the node starts, serves what it has, and says clearly what it has not (issue section 4)."""

import asyncio
import json
import os
import time
from pathlib import Path

from pulling import pull, settled
from running import cached, running
from standin import Fault, Standin

LARGE = bytes(range(256)) * 1024  # larger than what the index holds itself
TAG = "/v2/library/app/manifests/v1"


def blob_file(root: Path, digest: str) -> Path:
    return root / "blobs" / "sha256" / digest[7:9] / digest[7:]


async def test_a_node_starts_with_its_upstream_dead_and_serves_what_it_has(tmp_path: Path) -> None:
    """FIELD "Tests to copy", 9: cached tags at once, cold content a clear 503 in seconds."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1", [LARGE])
        cold = standin.add_image("library/cold", "v1")
        async with running(tmp_path, upstreams=[cached(standin)]) as node:
            await pull(node, image)
        await standin.stop()
        async with running(tmp_path, upstreams=[cached(standin)]) as node:
            started_at = time.monotonic()
            await pull(node, image)
            await pull(node, image, image.digest)
            assert time.monotonic() - started_at < 1.0
            assert (await node.fetch("/v2/"))[0] == 200
            assert (await node.fetch("/readyz"))[0] == 200
            for path in ("manifests/v1", f"manifests/{cold.digest}", f"blobs/{cold.config}", "tags/list"):
                status, _, body = await node.fetch(f"/v2/library/cold/{path}")
                assert (status, bool(json.loads(body)["errors"][0]["message"])) == (503, True)
            assert time.monotonic() - started_at < 10.0


async def test_a_tag_is_served_stale_after_a_restart_without_network(tmp_path: Path) -> None:
    """Issue section 4: upstream failure serves stale within `stale_max_s` and says so (`Age`, `Warning`)."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1")
        rule = cached(standin, tag_fresh_s=0)
        async with running(tmp_path, upstreams=[rule]) as node:
            await pull(node, image)
        await standin.stop()
        async with running(tmp_path, upstreams=[rule]) as node:
            for method in ("GET", "HEAD"):
                async with node.request(method, TAG) as answer:
                    assert answer.status == 200
                    assert answer.headers["Docker-Content-Digest"] == image.digest
                    assert answer.headers["Warning"].startswith("111 ")
                    assert 0 <= int(answer.headers["Age"]) < 60


async def test_a_manifest_whose_blobs_cannot_be_had_is_refused(tmp_path: Path) -> None:
    """CLIENTS quirk 2: podman and skopeo bind the whole pull to the mirror that gave the manifest."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1")
        rule = cached(standin)
        async with running(tmp_path, upstreams=[rule], anonymous=("pull",)) as node:
            await node.fetch(TAG)
            assert (await node.fetch(f"/v2/library/app/blobs/{image.config}"))[0] == 200
            await settled(node)
        await standin.stop()
        async with running(tmp_path, upstreams=[rule], anonymous=("pull",)) as node:
            for method in ("GET", "HEAD"):
                for reference in ("v1", image.digest):
                    async with node.request(method, f"/v2/library/app/manifests/{reference}") as answer:
                        assert answer.status == 503
            assert (await node.fetch(f"/v2/library/app/blobs/{image.layers[0]}"))[0] == 503


async def test_a_deleted_or_truncated_file_heals_in_the_same_request(tmp_path: Path) -> None:
    """RELIABILITY section 4: deleted / truncated file under index: miss -> refetch same request."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1", [LARGE])
        layer = image.layers[0]
        path = f"/v2/library/app/blobs/{layer}"
        async with running(tmp_path, upstreams=[cached(standin)]) as node:
            await pull(node, image)
            for damage in (_truncate, Path.unlink):
                await asyncio.to_thread(damage, blob_file(tmp_path, layer))
                assert (await node.fetch(path))[2] == LARGE
                await settled(node)
            assert standin.count("blob", layer) == 3
            await standin.stop()
            assert (await node.fetch(path))[2] == LARGE


def _truncate(path: Path) -> None:
    os.truncate(path, 1_000)


async def test_a_lost_file_without_network_is_503_and_never_short(tmp_path: Path) -> None:
    """RELIABILITY section 0.9: the field serves a truncated blob as 200 with 1,000 bytes."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1", [LARGE])
        async with running(tmp_path, upstreams=[cached(standin)]) as node:
            await pull(node, image)
            await standin.stop()
            await asyncio.to_thread(_truncate, blob_file(tmp_path, image.layers[0]))
            for _ in range(2):
                assert (await node.fetch(f"/v2/library/app/blobs/{image.layers[0]}"))[0] == 503


async def test_tag_lists_are_proxied_whole_and_served_stale(tmp_path: Path) -> None:
    """Issue section 4: tag lists are proxied with the same rules, and served stale offline."""
    async with Standin() as standin:
        for number in range(7):
            standin.add_image("library/app", f"v{number}", [b"x"])
        standin.tags_per_page = 2
        tags = [f"v{number}" for number in range(7)]
        async with running(tmp_path, upstreams=[cached(standin, tag_fresh_s=0)]) as node:
            path = "/v2/library/app/tags/list"
            assert json.loads((await node.fetch(path))[2]) == {"name": "library/app", "tags": tags}
            await standin.stop()
            status, headers, body = await node.fetch(f"{path}?n=3&last=v1")
            assert (status, json.loads(body)["tags"]) == (200, ["v2", "v3", "v4"])
            assert "Warning" in headers
            assert 'rel="next"' in headers["Link"]
            assert (await node.fetch("/v2/library/other/tags/list"))[0] == 503


async def test_a_list_that_was_never_asked_is_made_of_the_tags_that_are_here(tmp_path: Path) -> None:
    """Better some tags, owned up to, than none."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1")
        async with running(tmp_path, upstreams=[cached(standin)]) as node:
            await pull(node, image)
            await standin.stop()
            _, headers, body = await node.fetch("/v2/library/app/tags/list")
            assert (json.loads(body)["tags"], "Warning" in headers) == (["v1"], True)


async def test_referrers_are_proxied_filtered_and_served_stale(tmp_path: Path) -> None:
    """FIELD "Tests to copy", 19: referrers offline; CLIENTS quirk 12."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1")
        sbom = standin.add_referrer(image)
        signature = standin.add_referrer(image, "application/vnd.example.signature")
        path = f"/v2/library/app/referrers/{image.digest}"
        async with running(tmp_path, upstreams=[cached(standin, tag_fresh_s=0)]) as node:
            for stale in (False, True):
                status, headers, body = await node.fetch(path)
                assert (status, "Warning" in headers) == (200, stale)
                assert headers["Content-Type"] == "application/vnd.oci.image.index.v1+json"
                assert {entry["digest"] for entry in json.loads(body)["manifests"]} == {sbom, signature}
                _, headers, body = await node.fetch(f"{path}?artifactType=application/vnd.example.sbom")
                assert [entry["digest"] for entry in json.loads(body)["manifests"]] == [sbom]
                assert headers["OCI-Filters-Applied"] == "artifactType"
                await standin.stop()


async def test_an_upstream_without_the_api_is_read_by_its_fallback_tag(tmp_path: Path) -> None:
    """distribution-spec, "Referrers Tag Schema"."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1")
        standin.referrers_api = False
        path = f"/v2/library/app/referrers/{image.digest}"
        async with running(tmp_path, upstreams=[cached(standin, tag_fresh_s=0)]) as node:
            assert json.loads((await node.fetch(path))[2])["manifests"] == []
            fallback = standin.add_index("library/app", image.digest.replace(":", "-"))
            listed = json.loads((await node.fetch(path))[2])["manifests"]
            assert [entry["digest"] for entry in listed] == [image.digest for image in fallback.images]


async def test_a_failure_is_never_an_empty_list_of_referrers(tmp_path: Path) -> None:
    """An empty list would say "not signed" of what is signed."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1")
        standin.add_referrer(image)
        path = f"/v2/library/app/referrers/{image.digest}"
        async with running(tmp_path, upstreams=[cached(standin)]) as node:
            standin.fault = Fault(on="referrers", status=500)
            assert (await node.fetch(path))[0] == 502
            standin.fault = Fault(on="referrers", html=True)
            assert (await node.fetch(path))[0] == 502
            standin.faults = [Fault(on="referrers", status=404), Fault(on="manifest", status=500)]
            assert (await node.fetch(path))[0] == 502
            standin.fault = None
            assert len(json.loads((await node.fetch(path))[2])["manifests"]) == 1
