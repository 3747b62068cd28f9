"""Synchronizing from upstreams: what comes, what costs nothing, what goes, and who goes first; with whole nodes."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pulling import settled
from running import RunningNode, cached, running
from standin import OCI_INDEX, Fault, Image, Index, Standin

from mirror.cli.socket import Administrator, Refused, reached
from mirror.config.settings import Replication
from mirror.rules.syncing import SyncRule

APP = "docker.io/library/app"
MIB = 1024 * 1024
WAIT_S_MAX = 10.0
Answer = dict[str, Any]


@pytest.fixture
async def standin() -> AsyncIterator[Standin]:
    async with Standin() as standin:
        yield standin


class Site:
    """A node and its socket. `heard` is what the last run told while it went."""

    def __init__(self, node: RunningNode, administrator: Administrator) -> None:
        self.node = node
        self.administrator = administrator
        self.heard: list[Any] = []

    async def ask(self, operation: str, **given: Any) -> Answer:
        self.heard = []
        return dict(await self.administrator.follow("syncs", operation, self.heard.append, **given))

    async def run(self, *names: str) -> Answer:
        """Run a rule; return what came of it."""
        (outcome,) = (await self.ask("run", names=names))["outcomes"]
        return dict(outcome)

    async def plan(self, *names: str) -> tuple[dict[str, str], int]:
        """Return what a run would do with each image, and how many bytes."""
        found = await self.ask("plan", names=names)
        states = {one["image"].removeprefix("docker.io/library/"): one["state"] for one in found["images"]}
        return states, found["outcomes"][0]["bytes"]

    @property
    def states(self) -> dict[str, str]:
        images = (one for one in self.heard if one["event"] == "image")
        return {one["image"].removeprefix("docker.io/library/"): one["state"] for one in images}


@asynccontextmanager
async def site(root: Path, standin: Standin, *rules: SyncRule, **options: Any) -> AsyncIterator[Site]:
    upstreams = options.pop("upstreams", [cached(standin)])
    async with (
        running(root, upstreams=upstreams, syncs=rules, **options) as node,
        reached(root / "admin.sock") as administrator,
    ):
        yield Site(node, administrator)


def rule(**settings: Any) -> SyncRule:
    return SyncRule("base", **{"repositories": (APP,), "referrers": False, **settings})


def blobs_of(*images: Image) -> set[str]:
    return {blob for image in images for blob in (image.config, *image.layers)}


def fetched(standin: Standin, kind: Any = "blob") -> set[str]:
    return {seen.reference for seen in standin.asked(kind, method="GET")}


def gets(standin: Standin) -> int:
    """How many requests registries count as pulls, or send bytes for."""
    return standin.count("manifest", method="GET") + standin.count("blob", method="GET")


async def pulls_offline(node: RunningNode, standin: Standin, name: str, *images: Image) -> None:
    """Stop the upstream, and have all of the images from the node."""
    await standin.stop()
    for image in images:
        for path in (f"manifests/{image.digest}", *(f"blobs/{blob}" for blob in blobs_of(image))):
            assert (await node.fetch(f"/v2/{name}/{path}"))[0] == 200


# What comes, and what costs nothing.


async def test_all_tags_come_and_a_second_run_fetches_nothing(tmp_path: Path, standin: Standin) -> None:
    """Issue 4, section 3: HEAD first, so that nothing changed costs no pull."""
    images = [standin.add_image("library/app", tag) for tag in ("v1", "v2")]
    async with site(tmp_path, standin, rule()) as here:
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


async def test_only_what_has_changed_is_fetched(tmp_path: Path, standin: Standin) -> None:
    """Issue 4, section 3: HEAD first; layers that are here are here."""
    shared = b"shared layer " * 1000
    standin.add_image("library/app", "v1", [shared, b"one"])
    async with site(tmp_path, standin, rule()) as here:
        await here.run()
        standin.forget()
        changed = standin.add_image("library/app", "v1", [shared, b"two"], seed="changed")
        outcome = await here.run()
        assert here.states == {"app:v1": "changed"}
        assert fetched(standin) == {changed.config, changed.layers[1]}
        assert outcome["bytes"] == len(standin.blobs[changed.config]) + len(b"two")
        assert (await here.node.fetch(f"/v2/{APP}/manifests/v1"))[1]["Docker-Content-Digest"] == changed.digest


async def test_only_wanted_platforms_come_and_what_else_is_asked_for_still_does(
    tmp_path: Path, standin: Standin
) -> None:
    """Issue 4, section 3: platforms."""
    index = standin.add_index("library/app", "multi", ("linux/amd64", "linux/arm64"))
    async with site(tmp_path, standin, rule(platforms=("linux/arm64",))) as here:
        assert (await here.run())["failed"] == 0
        amd, arm = index.images
        assert fetched(standin) == blobs_of(arm)
        assert amd.digest not in fetched(standin, "manifest")
        assert (await here.node.fetch(f"/v2/{APP}/manifests/{amd.digest}"))[0] == 200
        standin.forget()
        assert (await here.run())["moved"] == 0
        assert gets(standin) == 0


async def test_an_image_without_the_wanted_platform_is_told_and_stops_no_other(
    tmp_path: Path, standin: Standin
) -> None:
    """An image that fails is told with its reason and does not stop the others."""
    standin.add_index("library/app", "a", ("linux/amd64",))
    standin.add_index("library/app", "b", ("linux/s390x",))
    images = ("docker.io/library/app:none", "docker.io/library/app@sha256:" + "0" * 64)
    async with site(tmp_path, standin, rule(platforms=("linux/s390x",), images=images)) as here:
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
    async with site(tmp_path, standin, rule(tags=("semver:>=1.8", "!*-rc*"), newest=2)) as here:
        await here.run()
        assert set(here.states) == {"app:1.10", "app:1.9"}


async def test_literal_tags_and_images_need_no_list(tmp_path: Path, standin: Standin) -> None:
    """A list of a thousand pages for one tag would be a poor bargain."""
    image = standin.add_image("library/app", "v1")
    other = standin.add_image("library/other", "latest")
    images = ("docker.io/library/other", f"docker.io/library/app@{image.digest}")
    async with site(tmp_path, standin, rule(tags=("v1",), images=images)) as here:
        assert (await here.run())["failed"] == 0
        assert set(here.states) == {"app:v1", "other:latest", f"app@{image.digest}"}
        assert standin.count("tags") == 0
        await pulls_offline(here.node, standin, "docker.io/library/other", other)


async def test_a_pattern_of_repositories_is_what_the_upstream_lists(tmp_path: Path, standin: Standin) -> None:
    """Globs of repositories, where the upstream can list them."""
    for name in ("team/app", "team/tool", "team/scratch", "else/app"):
        standin.add_image(name, "v1")
    wanted = rule(repositories=("quay.io/team/*", "!quay.io/team/scratch"))
    async with site(tmp_path, standin, wanted, upstreams=[cached(standin, "quay.io")]) as here:
        assert (await here.run())["failed"] == 0
        assert set(here.states) == {"quay.io/team/app:v1", "quay.io/team/tool:v1"}
        standin.lists_repositories = False
        outcome = await here.run()
        assert outcome["images"] == 0
        assert "does not list its repositories, so name them one by one" in outcome["failures"][0]["reason"]


async def test_a_repository_of_no_upstream_is_a_clear_failure(tmp_path: Path, standin: Standin) -> None:
    """A name is one that clients say: what begins with no upstream is the node's own, and comes from nowhere."""
    async with site(
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
    async with site(tmp_path, standin, rule(tags=("v1",), referrers=True)) as here:
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
    async with site(tmp_path, standin, rule(), SyncRule("v", (APP,), tags=("v*",), delete=True)) as here:
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


# Plans.


async def test_a_plan_moves_nothing_and_says_what_a_run_then_does(tmp_path: Path, standin: Standin) -> None:
    """`mirror sync plan`: per image what would happen, and how many bytes; each blob once."""
    shared = b"shared " * 5000
    standin.add_image("library/app", "v1", [shared, b"one"])
    standin.add_index("library/app", "multi")
    async with site(tmp_path, standin, rule()) as here:
        states, planned = await here.plan()
        assert states == {"app:multi": "new", "app:v1": "new"}
        assert standin.count("blob") == 0
        assert (await here.node.fetch("/v2/_catalog"))[2] == b'{"repositories":[]}'
        assert (await here.run())["bytes"] == planned
        standin.add_image("library/app", "v1", [shared, b"two"], seed="changed")
        standin.add_image("library/app", "v2", [shared, b"two"], seed="changed")
        states, planned = await here.plan()
        assert states == {"app:multi": "same", "app:v1": "changed", "app:v2": "new"}
        assert (await here.run())["bytes"] == planned > 0
        assert await here.plan() == (dict.fromkeys(states, "same"), 0)


# Who goes first.


async def test_a_client_takes_over_what_is_on_its_way_in_the_background(tmp_path: Path, standin: Standin) -> None:
    """Issue 4, section 3, "Prewarming": one fill, and at full speed as soon as a client joins it."""
    image = standin.add_image("library/app", "v1", [b"x" * MIB])
    slow = Replication(bytes_s_max=20_000)  # a MiB would take fifty seconds
    async with site(tmp_path, standin, rule(), replication=slow) as here:
        running = asyncio.ensure_future(here.run())
        await seen(lambda: standin.count("blob", image.layers[0]) == 1)
        status, _, body = await here.node.fetch(f"/v2/{APP}/blobs/{image.layers[0]}")
        assert (status, len(body)) == (200, MIB)
        assert (await running)["failed"] == 0
        assert standin.count("blob", image.layers[0]) == 1


async def seen(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S_MAX):
        while not look():
            await asyncio.sleep(0.01)


async def test_an_upstream_that_is_down_or_has_few_calls_left_is_left_alone(tmp_path: Path, standin: Standin) -> None:
    """An upstream whose budget is low or that does not answer ends that upstream's part of the run."""
    for tag in ("v1", "v2", "v3"):
        standin.add_image("library/app", tag)
    async with Standin("127.0.0.2") as other:
        other.add_image("team/tool", "v1")
        wanted = rule(repositories=(APP, "quay.io/team/tool"))
        async with site(tmp_path, standin, wanted, upstreams=[cached(standin), cached(other, "quay.io")]) as here:
            standin.ratelimit = (10, 100, 3600)
            outcome = await here.run()
            assert here.states == {"app:v1": "failed", "quay.io/team/tool:v1": "new"}
            assert {one["image"] for one in outcome["failures"]} == {f"{APP}:v1", "docker.io"}
            assert "few calls left" in outcome["failures"][0]["reason"]
            assert gets(standin) == 0


# On demand, and on a schedule.


async def test_single_images_are_warmed_by_name(tmp_path: Path, standin: Standin) -> None:
    """Issue 4, section 3: `mirror warm IMAGE... [--platform]`."""
    index = standin.add_index("library/app", "latest")
    async with site(tmp_path, standin) as here:
        warmed = await here.ask("warm", images=["app"], platforms=["linux/amd64"], referrers=False)
        assert warmed["outcomes"][0]["failed"] == 0
        assert fetched(standin) == blobs_of(index.images[0])
        with pytest.raises(Refused, match="is no image"):
            await here.ask("warm", images=["App:x"])
        with pytest.raises(Refused, match="No \\[\\[sync\\]\\] is called"):
            await here.ask("run", names=["none"])


async def test_who_leaves_ends_a_warming_and_not_a_run(
    tmp_path: Path, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run is the node's; what one client asked for is that client's."""
    monkeypatch.setattr("mirror.web.syncing.BEAT_S", 0.01)
    for tag in ("v1", "v2"):
        standin.add_image("library/app", tag)
    standin.fault = Fault(on="manifest", reference="v1", hang=True, times=1)
    async with site(tmp_path, standin, rule()) as here:
        warming = asyncio.ensure_future(here.ask("warm", images=["app:v1", "app:v2"], referrers=False))
        await asyncio.wait_for(standin.stalled.wait(), WAIT_S_MAX)
        warming.cancel()
        await asyncio.wait({warming})
        await seen(lambda: all(task.get_name() != "warm" for task in asyncio.all_tasks()))
        standin.resume()
        assert fetched(standin) == set()
        standin.fault = Fault(on="manifest", reference="v1", hang=True, times=1)
        running = asyncio.ensure_future(here.run())
        await asyncio.wait_for(standin.stalled.wait(), WAIT_S_MAX)
        running.cancel()
        await asyncio.wait({running})
        standin.resume()
        await seen(lambda: len(fetched(standin)) == 6)
        await settled(here.node)


async def test_a_rule_runs_again_and_again_on_its_schedule(tmp_path: Path, standin: Standin) -> None:
    """Issue 4, section 3: on a schedule; and a restart does not run everything anew."""
    standin.add_image("library/app", "v1")
    async with site(tmp_path, standin, rule(every_s=0.05)) as here:
        await seen(lambda: standin.count("tags") >= 3)
        metrics = (await here.node.fetch("/metrics"))[2].decode()
        assert 'mirror_sync_images_total{rule="base",state="new"}' in metrics
    standin.forget()
    async with site(tmp_path, standin, rule(every_s=3_600)) as here:
        (status,) = (await here.administrator.own("syncs", "status"))["syncs"]
        assert status["last"]["succeededAt"] > 0
        assert standin.count("tags") == 0
        assert b'mirror_sync_last_success_timestamp_seconds{rule="base"} 1' in (await here.node.fetch("/metrics"))[2]
