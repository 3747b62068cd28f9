"""Runs of what is synchronized: planned, watched, left, on a schedule; and who goes first; with whole nodes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pulling import settled
from running import cached
from standin import Fault, Standin
from syncing import APP, blobs_of, edge, fetched, gets, pulls_offline, rule, seen

from mirror.cli.socket import Refused
from mirror.config.settings import Replication

MIB = 1024 * 1024
WAIT_S_MAX = 10.0


@pytest.fixture
async def standin() -> AsyncIterator[Standin]:
    async with Standin() as standin:
        yield standin


# Plans.


async def test_a_plan_moves_nothing_and_says_what_a_run_then_does(tmp_path: Path, standin: Standin) -> None:
    """`mirror sync plan`: per image what would happen, and how many bytes; each blob once."""
    shared = b"shared " * 5000
    standin.add_image("library/app", "v1", [shared, b"one"])
    standin.add_index("library/app", "multi")
    async with edge(tmp_path, standin, rule()) as here:
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
    async with edge(tmp_path, standin, rule(), replication=slow) as here:
        running = asyncio.ensure_future(here.run())
        await seen(lambda: standin.count("blob", image.layers[0]) == 1)
        status, _, body = await here.node.fetch(f"/v2/{APP}/blobs/{image.layers[0]}")
        assert (status, len(body)) == (200, MIB)
        assert (await running)["failed"] == 0
        assert standin.count("blob", image.layers[0]) == 1


async def test_the_background_gives_way_to_what_a_client_waits_for(tmp_path: Path, standin: Standin) -> None:
    """Issue 4, section 3, "Prewarming": in idle bandwidth, after what clients ask for."""
    large = standin.add_image("library/app", "v1", [bytes(64 * MIB)]).layers[0]
    small = standin.add_image("library/other", "v1", [b"x" * 100_000]).layers[0]
    stopped = Fault(on="blob", reference=large, hang_after=MIB)
    standin.faults = [stopped, Fault(on="blob", reference=small, drip_bytes_s=50_000)]
    async with edge(tmp_path, standin, rule()) as here:
        running = asyncio.ensure_future(here.run())
        await asyncio.wait_for(standin.stalled.wait(), WAIT_S_MAX)
        async with here.node.get(f"/v2/docker.io/library/other/blobs/{small}") as response:
            standin.resume()
            assert len(await response.read()) == 100_000
            # What sockets hold on the way may have gone; two seconds would have been enough for all of it.
            assert standin.sent_bytes["blob", large] < 32 * MIB
        assert (await running)["failed"] == 0
        assert standin.sent_bytes["blob", large] == 64 * MIB


async def test_an_upstream_that_is_down_or_has_few_calls_left_is_left_alone(tmp_path: Path, standin: Standin) -> None:
    """An upstream whose budget is low or that does not answer ends that upstream's part of the run."""
    for tag in ("v1", "v2", "v3"):
        standin.add_image("library/app", tag)
    async with Standin("127.0.0.2") as other:
        other.add_image("team/tool", "v1")
        wanted = rule(repositories=(APP, "quay.io/team/tool"))
        async with edge(tmp_path, standin, wanted, upstreams=[cached(standin), cached(other, "quay.io")]) as here:
            standin.ratelimit = (10, 100, 3600)
            outcome = await here.run()
            assert here.states == {"app:v1": "failed", "quay.io/team/tool:v1": "new"}
            assert {one["image"] for one in outcome["failures"]} == {f"{APP}:v1", "docker.io"}
            assert "few calls left" in outcome["failures"][0]["reason"]
            assert gets(standin) == 0


async def test_an_upstream_that_is_gone_fails_once_and_clearly(tmp_path: Path, standin: Standin) -> None:
    """An upstream that does not answer is left alone until the next run, which goes on."""
    image = standin.add_image("library/app", "v1")
    literal = rule(repositories=(), images=tuple(f"{APP}:v{number}" for number in range(50)))
    async with edge(tmp_path, standin, literal) as here:
        await standin.stop()
        outcome = await here.run()
        assert (outcome["images"], outcome["failed"]) == (1, 2)
        assert {one["image"] for one in outcome["failures"]} == {f"{APP}:v0", "docker.io"}
        await standin.start()
        await here.run()
        assert here.states["app:v1"] == "new"
        await pulls_offline(here.node, standin, APP, image)


# On demand, and on a schedule.


async def test_single_images_are_warmed_by_name(tmp_path: Path, standin: Standin) -> None:
    """Issue 4, section 3: `mirror warm IMAGE... [--platform]`."""
    index = standin.add_index("library/app", "latest")
    async with edge(tmp_path, standin) as here:
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
    monkeypatch.setattr("mirror.web.administration.syncs.BEAT_S", 0.01)
    for tag in ("v1", "v2"):
        standin.add_image("library/app", tag)
    standin.fault = Fault(on="manifest", reference="v1", hang=True, times=1)
    async with edge(tmp_path, standin, rule()) as here:
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
    async with edge(tmp_path, standin, rule(every_s=0.05)) as here:
        await seen(lambda: standin.count("tags") >= 3)
        metrics = (await here.node.fetch("/metrics"))[2].decode()
        assert 'mirror_sync_images_total{rule="base",state="new"}' in metrics
    standin.forget()
    async with edge(tmp_path, standin, rule(every_s=3_600)) as here:
        (status,) = (await here.administrator.own("syncs", "status"))["syncs"]
        assert status["last"]["succeededAt"] > 0
        assert standin.count("tags") == 0
        assert b'mirror_sync_last_success_timestamp_seconds{rule="base"} 1' in (await here.node.fetch("/metrics"))[2]
