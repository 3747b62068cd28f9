"""Synchronizing from upstreams: what comes, what costs nothing, and what goes; with whole nodes."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from running import cached
from standin import OCI_INDEX, OCI_MANIFEST, Fault, Image, Index, Standin, sha256
from syncing import APP, blobs_of, edge, fetched, gets, pulls_offline, rule, seen

from mirror.registry.syncing.heads import HEADS_MAX
from mirror.rules.syncing import SyncRule


@pytest.fixture
async def standin() -> AsyncIterator[Standin]:
    async with Standin() as standin:
        yield standin


# What comes, and what costs nothing.


async def test_all_tags_come_and_a_second_run_fetches_nothing(tmp_path: Path, standin: Standin) -> None:
    """Issue 4, section 3: HEAD first, so that nothing changed costs no pull."""
    images = [standin.add_image("library/app", tag) for tag in ("v1", "v2")]
    async with edge(tmp_path, standin, rule()) as here:
        first = await here.run()
        assert (first["images"], first["moved"], first["failed"]) == (2, 2, 0)
        assert here.states == {"app:v1": "new", "app:v2": "new"}
        assert first["bytes"] == sum(len(standin.blobs[blob]) for blob in blobs_of(*images))
        assert standin.count("manifest", "v1", "HEAD") == 1
        assert standin.count("manifest", "v1", "GET") == 0
        standin.forget()
        second = await here.run()
        assert (second["images"], second["moved"], second["bytes"]) == (2, 0, 0)
        assert gets(standin) == 0
        assert standin.count("manifest", method="HEAD") == 2
        await pulls_offline(here.node, standin, APP, *images)
        assert (await here.node.fetch(f"/v2/{APP}/manifests/v2"))[2] == images[1].manifest


async def test_several_tags_are_asked_about_at_once(tmp_path: Path, standin: Standin) -> None:
    """A second run is nothing but HEADs: one after the other they would take a journey each."""
    for number in range(20):
        standin.add_image("library/app", f"v{number}", [b"one layer"])
    async with edge(tmp_path, standin, rule()) as here:
        await here.run()
        standin.forget()
        standin.fault = Fault(on="manifest", method="HEAD", hang=True)
        running = asyncio.ensure_future(here.run())
        await seen(lambda: standin.count("manifest", method="HEAD") == HEADS_MAX)
        standin.fault = None
        standin.resume()
        assert ((await running)["images"], gets(standin)) == (20, 0)


async def test_only_what_has_changed_is_fetched(tmp_path: Path, standin: Standin) -> None:
    """Issue 4, section 3: HEAD first; layers that are here are here."""
    shared = b"shared layer " * 1000
    standin.add_image("library/app", "v1", [shared, b"one"])
    async with edge(tmp_path, standin, rule()) as here:
        await here.run()
        standin.forget()
        changed = standin.add_image("library/app", "v1", [shared, b"two"], seed="changed")
        outcome = await here.run()
        assert here.states == {"app:v1": "changed"}
        assert fetched(standin) == {changed.config, changed.layers[1]}
        assert outcome["bytes"] == len(standin.blobs[changed.config]) + len(b"two")
        assert (await here.node.fetch(f"/v2/{APP}/manifests/v1"))[1]["Docker-Content-Digest"] == changed.digest


async def test_an_upstream_whose_heads_name_no_digest_is_asked_by_get(tmp_path: Path, standin: Standin) -> None:
    """distribution-spec 1.1, "Checking if content exists": the digest header is a SHOULD."""
    standin.digest_header = False
    standin.add_image("library/app", "v1")
    async with edge(tmp_path, standin, rule()) as here:
        assert (await here.plan())[0] == {"app:v1": "new"}
        assert (await here.run())["moved"] == 1
        changed = standin.add_image("library/app", "v1", seed="changed")
        assert (await here.plan())[0] == {"app:v1": "changed"}
        assert ((await here.run())["moved"], (await here.run())["moved"]) == (1, 0)
        await pulls_offline(here.node, standin, APP, changed)


async def test_only_wanted_platforms_come_and_what_else_is_asked_for_still_does(
    tmp_path: Path, standin: Standin
) -> None:
    """Issue 4, section 3: platforms."""
    index = standin.add_index("library/app", "multi", ("linux/amd64", "linux/arm64"))
    async with edge(tmp_path, standin, rule(platforms=("linux/arm64",))) as here:
        assert (await here.run())["failed"] == 0
        amd, arm = index.images
        assert fetched(standin) == blobs_of(arm)
        assert amd.digest not in fetched(standin, "manifest")
        assert (await here.node.fetch(f"/v2/{APP}/manifests/{amd.digest}"))[0] == 200
        standin.forget()
        assert (await here.run())["moved"] == 0
        assert gets(standin) == 0


@pytest.mark.parametrize("referrers", [True, False])
async def test_attestations_inside_of_an_index_come_with_the_image_that_they_are_about(
    tmp_path: Path, standin: Standin, referrers: bool
) -> None:
    """BuildKit's SBOMs and provenance are children of no platform."""
    index = standin.add_index("library/app", "plain", ("linux/amd64", "linux/arm64"))
    entries = json.loads(index.manifest)["manifests"]
    about = {}
    for image in index.images:
        attestation = standin.add_image("library/app", seed=f"about {image.digest}", platform="unknown/unknown")
        about[image.digest] = attestation.digest
        annotations = {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": image.digest,
        }
        platform = {"os": "unknown", "architecture": "unknown"}
        size = len(attestation.manifest)
        entry = {"mediaType": OCI_MANIFEST, "digest": attestation.digest, "size": size, "platform": platform}
        entries.append({**entry, "annotations": annotations})
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
    standin.add_manifest("library/app", "attested", body, OCI_INDEX)
    wanted = rule(tags=("attested",), platforms=("linux/arm64",), referrers=referrers)
    async with edge(tmp_path, standin, wanted) as here:
        assert (await here.run())["failed"] == 0
    arm = index.images[1]
    assert fetched(standin, "manifest") - {sha256(body)} == {arm.digest, *([about[arm.digest]] if referrers else [])}


async def test_an_image_without_the_wanted_platform_is_told_and_stops_no_other(
    tmp_path: Path, standin: Standin
) -> None:
    """An image that fails is told with its reason and does not stop the others."""
    standin.add_index("library/app", "a", ("linux/amd64",))
    standin.add_index("library/app", "b", ("linux/s390x",))
    images = ("docker.io/library/app:none", "docker.io/library/app@sha256:" + "0" * 64)
    async with edge(tmp_path, standin, rule(platforms=("linux/s390x",), images=images)) as here:
        outcome = await here.run()
        assert (outcome["images"], outcome["failed"]) == (4, 3)
        assert here.states["app:b"] == "new"
        reasons = {one["image"]: one["reason"] for one in outcome["failures"]}
        assert "linux/s390x" in reasons[f"{APP}:a"]
        assert "has no manifest" in reasons[images[0]]
        assert set(reasons) == {f"{APP}:a", *images}


async def test_the_newest_come(tmp_path: Path, standin: Standin) -> None:
    """Issue 4, section 3: newest N; by the order of versions, not of letters."""
    for tag in ("1.9", "1.10", "1.8", "latest", "1.11-rc1"):
        standin.add_image("library/app", tag)
    async with edge(tmp_path, standin, rule(tags=("semver:>=1.8", "!*-rc*"), newest=2)) as here:
        await here.run()
        assert set(here.states) == {"app:1.10", "app:1.9"}


async def test_literal_tags_and_images_need_no_list(tmp_path: Path, standin: Standin) -> None:
    """A list of a thousand pages for one tag would be a poor bargain."""
    image = standin.add_image("library/app", "v1")
    other = standin.add_image("library/other", "latest")
    images = ("docker.io/library/other", f"docker.io/library/app@{image.digest}")
    async with edge(tmp_path, standin, rule(tags=("v1",), images=images)) as here:
        assert (await here.run())["failed"] == 0
        assert set(here.states) == {"app:v1", "other:latest", f"app@{image.digest}"}
        assert standin.count("tags") == 0
        await pulls_offline(here.node, standin, "docker.io/library/other", other)


async def test_a_pattern_of_repositories_is_what_the_upstream_lists(tmp_path: Path, standin: Standin) -> None:
    """Globs of repositories, where the upstream can list them."""
    for name in ("team/app", "team/tool", "team/scratch", "else/app"):
        standin.add_image(name, "v1")
    wanted = rule(repositories=("quay.io/team/*", "!quay.io/team/scratch"))
    async with edge(tmp_path, standin, wanted, upstreams=[cached(standin, "quay.io")]) as here:
        assert (await here.run())["failed"] == 0
        assert set(here.states) == {"quay.io/team/app:v1", "quay.io/team/tool:v1"}
        standin.lists_repositories = False
        outcome = await here.run()
        assert outcome["images"] == 0
        assert "does not list its repositories, so name them one by one" in outcome["failures"][0]["reason"]


async def test_a_repository_of_no_upstream_is_a_clear_failure(tmp_path: Path, standin: Standin) -> None:
    """A name is one that clients say: what begins with no upstream is the node's own, and comes from nowhere."""
    async with edge(
        tmp_path, standin, rule(repositories=("team/app",)), upstreams=[cached(standin, "quay.io")]
    ) as here:
        (failure,) = (await here.run())["failures"]
        assert failure["image"] == "team/app"
        assert "is of no upstream" in failure["reason"]


# What refers to images.


def cosign(standin: Standin, image: Image | Index, kind: str) -> Image:
    """Add what cosign puts beside an image under a tag of its digest."""
    return standin.add_image(image.name, f"{image.digest.replace(':', '-')}.{kind}")


@pytest.mark.parametrize("api", [True, False])
async def test_signatures_come_with_their_image(tmp_path: Path, standin: Standin, api: bool) -> None:
    """Issue 4, section 1: referrers, by the API, the fallback tag and cosign's tags; of children too."""
    index = standin.add_index("library/app", "v1")
    sbom = standin.add_referrer(index)
    of_child = standin.add_referrer(index.images[0], "application/vnd.example.signature")
    signature = cosign(standin, index, "sig")
    standin.referrers_api = api
    if not api:
        for subject, digest in ((index.digest, sbom), (index.images[0].digest, of_child)):
            media_type, data = standin.manifests["library/app", digest]
            entry = {"mediaType": media_type, "digest": digest, "size": len(data), "artifactType": "a/b"}
            body = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
            standin.add_manifest("library/app", subject.replace(":", "-"), json.dumps(body).encode(), OCI_INDEX)
    async with edge(tmp_path, standin, rule(tags=("v1",), referrers=True)) as here:
        assert (await here.run())["failures"] == []
        assert {sbom, of_child, signature.digest} <= fetched(standin, "manifest")
        standin.forget()
        assert (await here.run())["moved"] == 0
        assert gets(standin) == 0
        await pulls_offline(here.node, standin, APP, signature)
        for subject, digest in ((index.digest, sbom), (index.images[0].digest, of_child)):
            _, _, body = await here.node.fetch(f"/v2/{APP}/referrers/{subject}")
            assert digest.encode() in body
            assert (await here.node.fetch(f"/v2/{APP}/manifests/{digest}"))[0] == 200
        assert (await here.node.fetch(f"/v2/{APP}/manifests/{signature.tag}"))[2] == signature.manifest


# What goes.


async def test_tags_that_are_gone_upstream_go_here_only_when_a_list_says_so(tmp_path: Path, standin: Standin) -> None:
    """`delete`: what matches the filters; never because a repository cannot be seen."""
    for tag in ("v1", "v2", "w1"):
        standin.add_image("library/app", tag)
    async with edge(tmp_path, standin, rule(), SyncRule("v", (APP,), tags=("v*",), delete=True)) as here:
        await here.run("base")
        del standin.tags["library/app"]["v1"]
        del standin.tags["library/app"]["w1"]
        for fault in (Fault(on="tags", status=404), Fault(on="tags", status=403), Fault(on="tags", status=500)):
            standin.fault = fault
            outcome = await here.run("v")
            assert (outcome["deleted"], outcome["failed"] > 0) == (0, True)
        standin.fault = None
        assert await here.plan("v") == ({"app:v1": "gone", "app:v2": "same"}, 0)
        outcome = await here.run("v")
        assert (outcome["deleted"], outcome["failed"]) == (1, 0)
        await standin.stop()
        assert (await here.node.fetch(f"/v2/{APP}/manifests/v2"))[0] == 200
        assert (await here.node.fetch(f"/v2/{APP}/manifests/w1"))[0] == 200
        assert (await here.node.fetch(f"/v2/{APP}/manifests/v1"))[0] in (502, 503)
