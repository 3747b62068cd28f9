"""Addressing: three ways to say a name, one store."""

import asyncio
from pathlib import Path

from running import cached, running
from standin import Fault, Standin

from mirror.oci.digest import digest_of

LINKED_S_MAX = 5.0
LARGE = bytes(range(256)) * 1024  # larger than what the index holds itself


async def test_a_digest_is_stored_once_and_fetched_once_under_all_names(tmp_path: Path) -> None:
    """FIELD "Tests to copy", 16: the same digest via `ns=docker.io`, prefix and root: one stored blob."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1", [LARGE])
        async with running(tmp_path, upstreams=[cached(standin)]) as node:
            for name, query in (
                ("library/app", ""),
                ("app", ""),
                ("docker.io/library/app", ""),
                ("docker.io/app", ""),
                ("library/app", "?ns=docker.io"),
                ("library/app", "?ns=registry-1.docker.io"),
                ("docker.io/library/app", "?ns=docker.io"),
            ):
                status, headers, body = await node.fetch(f"/v2/{name}/manifests/v1{query}")
                assert (status, body) == (200, image.manifest)
                assert headers["Docker-Content-Digest"] == image.digest
                status, _, body = await node.fetch(f"/v2/{name}/blobs/{image.layers[0]}{query}")
                assert (status, body) == (200, LARGE)
        assert standin.count("manifest") == 1
        assert standin.count("blob") == 1
        assert len([path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]) == 2


async def test_a_registry_that_is_not_configured_is_404_and_never_dialled(tmp_path: Path) -> None:
    """RELIABILITY A15: `ns` is a closed-world key, never a dial target; unknown -> 404."""
    async with Standin() as standin, Standin("127.0.0.2") as stranger:
        stranger.add_image("library/app", "v1")
        async with running(tmp_path, upstreams=[cached(standin)]) as node:
            for ns in (f"{stranger.host}:{stranger.port}", "ghcr.io", "docker.io.evil.example", "docker.io%2Fx"):
                status, _, _ = await node.fetch(f"/v2/library/app/manifests/v1?ns={ns}")
                assert status == 404
        assert (standin.count(), stranger.count()) == (0, 0)


async def test_equal_names_at_two_upstreams_never_mix(tmp_path: Path) -> None:
    """RELIABILITY A15: same repository and tag on two upstreams never mix."""
    async with Standin() as hub, Standin("127.0.0.2") as quay:
        ours, theirs = hub.add_image("org/app", "v1", seed="hub"), quay.add_image("org/app", "v1", seed="quay")
        rules = [cached(hub), cached(quay, "quay.io")]
        async with running(tmp_path, upstreams=rules) as node:
            for path, image in (
                ("/v2/org/app/manifests/v1", ours),
                ("/v2/quay.io/org/app/manifests/v1", theirs),
                ("/v2/org/app/manifests/v1?ns=quay.io", theirs),
                ("/v2/org/app/manifests/v1?ns=docker.io", ours),
            ):
                assert (await node.fetch(path))[2] == image.manifest
            status, _, _ = await node.fetch(f"/v2/quay.io/org/app/manifests/{ours.digest}")
            assert status == 404
            status, _, _ = await node.fetch(f"/v2/quay.io/org/app/blobs/{ours.config}")
            assert status == 404


async def test_a_blob_of_another_repository_is_not_served_without_proof(tmp_path: Path) -> None:
    """RELIABILITY A7: a blob is served in a repository only where it belongs, whatever the store holds."""
    async with Standin() as hub, Standin("127.0.0.2") as quay:
        private = hub.add_image("org/private", "v1", [LARGE])
        quay.add_image("org/public", "v1")
        async with running(tmp_path, upstreams=[cached(hub), cached(quay, "quay.io")]) as node:
            await node.fetch("/v2/org/private/manifests/v1")
            await node.fetch(f"/v2/org/private/blobs/{private.layers[0]}")
            hub.forget()
            for method in ("GET", "HEAD"):
                async with node.request(method, f"/v2/quay.io/org/public/blobs/{private.layers[0]}") as answer:
                    assert answer.status == 404
            async with node.get(
                f"/v2/quay.io/org/public/blobs/{private.layers[0]}", headers={"Range": "bytes=0-9"}
            ) as a:
                assert a.status == 404
            quay.fault = Fault(status=500)
            other = digest_of(LARGE, "sha512")
            assert (await node.fetch(f"/v2/quay.io/org/public/blobs/{other}"))[0] == 502
            assert hub.count() == 0


async def test_a_blob_that_no_manifest_names_is_proved_by_its_fetch_or_by_a_head(tmp_path: Path) -> None:
    """DESIGN section 5: served only if the repository owns it, or the caller may see it upstream."""
    async with Standin() as standin:
        standin.add_image("library/app", "v1")
        stray = standin.add_blob(LARGE)
        async with running(tmp_path, upstreams=[cached(standin)]) as node:
            assert (await node.fetch(f"/v2/library/app/blobs/{stray}"))[2] == LARGE
            assert [seen.method for seen in standin.asked("blob", stray)] == ["GET"]
            async with asyncio.timeout(LINKED_S_MAX):
                while standin.asked("blob", stray):  # until the disk has it, each new caller is proved anew
                    standin.forget()
                    assert (await node.fetch(f"/v2/library/app/blobs/{stray}"))[2] == LARGE
            # Here under another name already: the proof is asked, the bytes are not.
            assert (await node.fetch(f"/v2/library/other/blobs/{stray}"))[2] == LARGE
            assert [seen.method for seen in standin.asked("blob", stray)] == ["HEAD"]


async def test_two_repositories_that_share_a_layer_cost_one_fetch(tmp_path: Path) -> None:
    """FIELD "Tests to copy", 12: and each of them may serve it."""
    async with Standin() as standin:
        one = standin.add_image("library/one", "v1", [LARGE])
        standin.add_image("library/two", "v1", [LARGE])
        async with running(tmp_path, upstreams=[cached(standin)]) as node:
            for name in ("one", "two"):
                await node.fetch(f"/v2/library/{name}/manifests/v1")
                assert (await node.fetch(f"/v2/library/{name}/blobs/{one.layers[0]}"))[2] == LARGE
            assert standin.count("blob", one.layers[0], "GET") == 1
            assert standin.count("blob", one.layers[0], "HEAD") == 1, "a claim is proved (A7)"


async def test_a_blob_that_one_repository_cannot_get_is_fetched_through_the_other(tmp_path: Path) -> None:
    """One fill per digest, but a refusal belongs to the repository that was refused."""
    async with Standin() as hub, Standin("127.0.0.2") as quay:
        image = hub.add_image("org/app", "v1", [LARGE])
        quay.add_image("org/app", "v1", [LARGE])
        layer = image.layers[0]
        del hub.blobs[layer]
        hub.fault = Fault(on="blob", hang=True)
        async with running(tmp_path, upstreams=[cached(hub), cached(quay, "quay.io")]) as node:
            await node.fetch("/v2/org/app/manifests/v1")
            await node.fetch("/v2/quay.io/org/app/manifests/v1")
            first = asyncio.create_task(node.fetch(f"/v2/org/app/blobs/{layer}"))
            await hub.stalled.wait()
            second = asyncio.create_task(node.fetch(f"/v2/quay.io/org/app/blobs/{layer}"))
            await asyncio.wait({second}, timeout=0.1)
            assert quay.count("blob", method="GET") == 0
            hub.resume()
            assert (await first)[0] == 404
            assert (await second)[2] == LARGE
