"""The operator's view, as an operator has it: status, top, why, offline, purge; against whole nodes."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from command_line import asked
from pulling import pull
from pushing import push_image
from registries import HOME
from rich.console import Console
from running import RunningNode, cached, running
from standin import Fault, Image, Standin
from waiting import until

from mirror.cli import main
from mirror.cli.top import frame
from mirror.jobs.replication import PACE
from mirror.oci.digest import parse_digest
from mirror.rules.destinations import DestinationRule

APP = "docker.io/library/app"
pytestmark = pytest.mark.usefixtures("logging_of_its_own")


@pytest.fixture
async def standin() -> AsyncIterator[Standin]:
    async with Standin() as standin:
        yield standin


async def lines(root: Path, *words: str, code: int = 0) -> list[list[str]]:
    """Run a command that ends with `code`; return its columns."""
    result = await asked(root, *words)
    assert result.exit_code == code, result.output
    return [line.split("\t") for line in result.stdout.splitlines()]


async def facts(root: Path, *words: str) -> dict[str, str]:
    """Run a command that tells keys and values."""
    return {line[0]: line[1] for line in await lines(root, *words)}


async def pulled(node: RunningNode, path: str) -> int:
    return (await node.fetch(f"/v2/{path}"))[0]


async def pull_whole(node: RunningNode, image: Image, reference: str = "") -> None:
    """Pull an image, and wait until its blobs are known to belong where they were pulled: that is after the answer."""
    await pull(node, image, reference)
    house = node.node._house
    assert house is not None
    index, repository = house.store.index, house.repositories.pulled(HOME, image.name)
    blobs = [parse_digest(blob) for blob in (image.config, *image.layers)]

    async def is_kept() -> bool:
        return all(index.serves(repository, blob) for blob in blobs)

    await until(is_kept)


# Status.


async def test_status_tells_on_one_screen_how_the_node_stands(tmp_path: Path, standin: Standin) -> None:
    """Issue 5, section 4: `mirror status`."""
    standin.ratelimit = (76, 100, 21_600)
    image = standin.add_image("library/app", "v1")
    async with running(tmp_path, upstreams=[cached(standin)]) as node:
        await pull_whole(node, image)
        shown = await lines(tmp_path, "status")
        keys = {line[0]: line[1] for line in shown if len(line) == 2}
        assert (keys["ready"], keys["fills"]) == ("yes", "0")
        assert keys["store"].endswith(" in 4 blobs")
        assert "free of" in keys["disk"]
        (upstream,) = [line for line in shown if line[0] == "docker.io"]
        assert (upstream[1], upstream[4]) == ("ok", "76 of 100")
        assert {line[0] for line in shown} >= {"lifecycle", "sweep"}
        told = json.loads((await asked(tmp_path, "status", "--json")).stdout)
        held = (image.manifest, *(standin.blobs[blob] for blob in (image.config, *image.layers)))
        assert (told["blobs"], told["bytes"]) == (4, sum(map(len, held)))


async def test_status_says_why_an_upstream_is_left_alone(tmp_path: Path, standin: Standin) -> None:
    """RELIABILITY section 4: a breaker that nobody sees is a mystery."""
    standin.fault = Fault(status=429, headers={"Retry-After": "600"})
    async with running(tmp_path, upstreams=[cached(standin)]) as node:
        assert await pulled(node, "library/app/manifests/v1") == 503
        (upstream,) = [line for line in await lines(tmp_path, "status") if line[0] == "docker.io"]
        assert upstream[1].startswith("left alone for 00:0")
        assert upstream[1].endswith(": it asks us to wait")
        page = (await node.fetch("/metrics"))[2]
        assert b'mirror_upstream_reachable{upstream="docker.io"} 0.0' in page
        assert b"mirror_ready 1.0" in page


async def test_status_tells_how_far_a_place_is_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replication lag, where there is any, on the same screen."""
    monkeypatch.setattr("mirror.jobs.replication.PACE", replace(PACE, watch_s=0.05))
    away = DestinationRule("elsewhere", "http://127.0.0.1:9")
    async with running(tmp_path, destinations=(away,)) as node:
        await push_image(node, "team/app", "v1")

        async def told() -> bool:
            return ["elsewhere", "", "1"] in [line[:3] for line in await lines(tmp_path, "status")]

        await until(told)


async def test_status_of_a_node_that_does_not_run_is_exit_code_1(tmp_path: Path) -> None:
    """A script may ask: 0 is ready, 1 is not."""
    async with running(tmp_path):
        pass
    shown = await lines(tmp_path, "status", code=1)
    assert ["ready", "no: no node is running"] in shown
    stopped = await asked(tmp_path, "top", "--once")
    assert (stopped.exit_code, stopped.stderr) == (1, "mirror: no node is running\n")


# Top.


async def test_top_shows_what_happens_between_two_looks(tmp_path: Path, standin: Standin) -> None:
    """Issue 5, section 4: throughput, hit ratio, fills with progress, upstreams. `--once` is for scripts."""
    image = standin.add_image("library/app", "v1", [b"x" * 300_000])
    standin.fault = Fault(on="blob", reference=image.layers[0], hang_after=100_000)
    async with running(tmp_path, upstreams=[cached(standin)]) as node, asyncio.TaskGroup() as group:
        assert await pulled(node, "library/app/manifests/v1") == 200
        reading = group.create_task(pulled(node, f"library/app/blobs/{image.layers[0]}"), name="a client")
        await standin.stalled.wait()
        once = await asked(tmp_path, "top", "--once", "--json")
        assert once.exit_code == 0, once.output
        told = json.loads(once.stdout)
        (fill,) = told["fills"]
        assert (fill["repository"], fill["digest"], fill["size"]) == (APP, image.layers[0], 300_000)
        assert (fill["bytes"], fill["readers"], fill["background"]) == (100_000, 1, False)
        assert told["clients"][0][0] == "127.0.0.1"
        assert set(told["rates"]) == {"requests", "sentBytes", "fetchedBytes", "hitRatio"}
        standin.resume()
        assert await reading == 200


def look(**more: Any) -> dict[str, Any]:
    """A look at a node, as it tells it."""
    upstream = {
        "name": "docker.io",
        "reachable": True,
        "reason": "",
        "waitS": 0.0,
        "callsLeft": 5,
        "calls": 100,
        "hits": 10,
        "joins": 0,
        "misses": 10,
        "bytes": 0,
        "requests": 4,
        "answerS": 0.25,
        "hitRatio": 0.5,
    }
    slow = {**upstream, "name": "slow\x1b[2J.io", "reachable": False, "reason": "no answer", "waitS": 5.0}
    fill = {"repository": "a/b", "digest": f"sha256:{'1' * 64}", "bytes": 0, "size": 4_000_000, "readers": 3}
    return {
        "version": "1",
        "uptimeS": 10.0,
        "connections": 7,
        "clients": [["192.0.2.7", 5], ["", 2]],
        "loopLagS": 0.002,
        "requests": 100,
        "sentBytes": 0,
        "blobs": 3,
        "bytes": 5_000,
        "disk": 10_000,
        "diskFree": 5_000,
        "fillsCount": 1,
        "fills": [{**fill, "background": False}],
        "upstreams": [upstream, slow],
        **more,
    }


def test_a_frame_has_rates_bars_and_trouble_first() -> None:
    """What is wrong stands on top; no upstream's words steer a terminal."""
    old, new = look(), look(uptimeS=12.0, requests=300, sentBytes=4_000_000)
    new["fills"][0]["bytes"] = 2_000_000
    new["upstreams"][0] |= {"hits": 19, "misses": 11, "bytes": 1_000_000}
    out = io.StringIO()
    Console(file=out, width=160).print(frame(old, new))
    head, counts, *_, first, second, _, clients = out.getvalue().splitlines()
    assert "connections 7   loop lag 2.0 ms" in head
    assert "requests 100.0/s   sent 2.0 MB/s   fetched 500.0 kB/s   hits 90.0%" in counts
    (fill,) = [line for line in out.getvalue().splitlines() if line.startswith("a/b")]
    assert fill.split()[:5] == ["a/b", "sha256:111111111111", "4.0", "MB", "━" * 10]
    assert fill.split()[5:] == ["1.0", "MB/s", "3"]
    assert first.startswith("slow\\x1b[2J.io  left alone for 00:00:05: no answer")
    assert second.split()[:4] == ["docker.io", "ok", "50.0%", "90.0%"]
    assert clients == "most connections: 192.0.2.7 5, unix socket 2"


# Why.


async def test_why_tells_where_a_cached_image_came_from_and_what_keeps_it(tmp_path: Path, standin: Standin) -> None:
    """Issue 5, section 4: `mirror image why NAME`."""
    index = standin.add_index("library/app", "v1")
    amd, arm = index.images
    standin.tags["library/app"]["latest"] = index.digest
    pins = {"keep": ("docker.io/library/*",)}
    async with running(tmp_path, upstreams=[cached(standin, tag_fresh_s=3_600)], cache=pins) as node:
        for tag in ("v1", "latest"):
            assert await pulled(node, f"library/app/manifests/{tag}") == 200
        await pull_whole(node, amd, amd.digest)
        told = await facts(tmp_path, "image", "why", "app:v1")
        assert (told["image"], told["digest"]) == (f"{APP}:v1", index.digest)
        assert told["came"].endswith(f"Z, fetched from {standin.url}/v2/library/app")
        assert told["checked"].endswith("Z: fresh")
        assert told["checked again"].startswith("from 20")
        assert told["pulled"].endswith("Z")
        assert told["kept by"] == "tag latest; tag v1; [storage] keep"
        assert told["platform linux/amd64"].startswith("whole, ")
        assert told["platform linux/arm64"] == "0 bytes here, missing: all"
        child = await facts(tmp_path, "image", "why", f"{APP}@{amd.digest}")
        assert (child["kept by"], child["platform linux/amd64"][:5]) == (
            f"index {index.digest}; [storage] keep",
            "whole",
        )
        absent = await asked(tmp_path, "image", "why", f"{APP}@{arm.digest}")
        assert (absent.exit_code, absent.stderr.partition(":")[2].split(":")[0]) == (1, " ImageNotFoundException")
        assert standin.count("manifest", arm.digest) == 0, "nobody is asked"


async def test_why_tells_of_an_image_that_was_pushed_here(tmp_path: Path) -> None:
    """What is our own is never checked; its lifecycle policy is what may delete it."""
    async with running(tmp_path) as node:
        image = await push_image(node, "team/app", "v1")
        told = await facts(tmp_path, "image", "why", "team/app:v1")
        assert told["came"].endswith(", pushed here")
        assert (told["pulled"], told["kept by"]) == ("never", "tag v1")
        assert "checked" not in told
        assert "lifecycle policy" not in told
        assert await pulled(node, f"team/app/manifests/{image.digest}") == 200
        assert (await facts(tmp_path, "image", "why", "team/app:v1"))["pulled"] != "never"


# Usage.


async def test_the_use_of_a_repository_is_told(tmp_path: Path) -> None:
    """Issue 5, section 4: pull counts and last pulls, also those of before a restart."""
    size = 0
    async with running(tmp_path) as node:
        for tag in ("v1", "v2"):
            image = await push_image(node, "team/app", tag)
            size += sum(map(len, (image.config, image.layer, image.manifest)))
        for _ in range(3):
            assert await pulled(node, "team/app/manifests/v2") == 200
    async with running(tmp_path) as node:
        assert await pulled(node, "team/app/manifests/v2") == 200
        told = {line[0]: line[1] for line in await lines(tmp_path, "repo", "stats", "team/app") if len(line) == 2}
        counts = {key: told[key] for key in ("pulls", "images", "tags", "blobs", "bytes")}
        assert counts == {"pulls": "4", "images": "2", "tags": "2", "blobs": "4", "bytes": str(size)}
        answer = json.loads((await asked(tmp_path, "repo", "stats", "team/app", "--json")).stdout)
        assert [one["tags"] for one in answer["latest"]] == [["v2"]]
        assert answer["pulledAt"] == answer["latest"][0]["pulledAt"]


# Offline.


async def test_offline_tells_what_is_whole_and_what_the_rest_lacks(tmp_path: Path, standin: Standin) -> None:
    """Issue 5, section 4: servable with no network, per image and platform. FIELD: "what is fully servable offline"."""
    index = standin.add_index("library/app", "v1")
    part = standin.add_image("library/part", "v1")
    amd, arm = index.images
    async with running(tmp_path, upstreams=[cached(standin)]) as node:
        assert await pulled(node, "library/app/manifests/v1") == 200
        await pull_whole(node, amd, amd.digest)
        assert await pulled(node, f"library/part/manifests/{part.digest}") == 200
        await push_image(node, "team/app", "v1")
        await standin.stop()
        shown = await lines(tmp_path, "offline", code=1)
        assert [line[:3] for line in shown] == [
            [f"{APP}:v1", "yes", "linux/amd64"],
            [f"{APP}:v1", "yes", "linux/arm64"],
            [f"docker.io/library/part@{part.digest}", "no: not all of it is here", "-"],
            ["team/app:v1", "yes", "-"],
        ]
        lacking = sum(len(standin.blobs[blob]) for blob in (part.config, *part.layers))
        assert [line[4] for line in shown] == ["nothing", "all", f"{lacking} bytes in 3 blobs", "nothing"]
        assert shown[0][5].startswith("20"), "a tag is not served unchecked for ever"
        assert shown[3][5] == ""
        assert await lines(tmp_path, "offline", "app", "-p", "linux/amd64") == [shown[0]]
        (missing,) = await lines(tmp_path, "offline", "docker.io/*/app", "-p", "linux/arm64", code=1)
        assert missing[1] == "no: not all of it is here"
        # What it says is so.
        assert await pulled(node, f"library/app/manifests/{amd.digest}") == 200
        assert await pulled(node, f"library/app/manifests/{arm.digest}") >= 500


async def test_a_tag_that_was_not_checked_for_too_long_is_not_servable(tmp_path: Path, standin: Standin) -> None:
    """`stale_max_s`: after it an upstream that fails is no longer excused."""
    image = standin.add_image("library/app", "v1")
    async with running(tmp_path, upstreams=[cached(standin, tag_fresh_s=0, stale_max_s=0)]) as node:
        await pull_whole(node, image)
        (line,) = await lines(tmp_path, "offline", code=1)
        assert line[1] == "no: not checked for too long"
        await standin.stop()
        assert await pulled(node, "library/app/manifests/v1") >= 500


async def test_a_large_registry_is_told_page_by_page(
    tmp_path: Path, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No answer is without end, and none of the images is told twice or left out."""
    monkeypatch.setattr("mirror.registry.view.offline.PAGE", 2)
    async with running(tmp_path) as node:
        names = [f"team/app{number}:v{tag}" for number in range(2) for tag in range(3)]
        for name in names:
            await push_image(node, *name.split(":"))
        assert [line[0] for line in await lines(tmp_path, "offline")] == names
        assert [line[0] for line in await lines(tmp_path, "offline", "team/app1")] == names[3:]


# Purge.


async def test_what_is_purged_is_asked_for_again(tmp_path: Path, standin: Standin) -> None:
    """Issue 5, section 4: `mirror purge`; a dry run says the same and does nothing."""
    image = standin.add_image("library/app", "v1")
    size = sum(map(len, (image.manifest, *(standin.blobs[blob] for blob in (image.config, *image.layers)))))
    async with running(tmp_path, upstreams=[cached(standin)]) as node:
        await pull_whole(node, image)
        gone = [[APP, "1", "1", "3", str(size)]]
        assert await lines(tmp_path, "purge", f"{APP}:v1", "--dry-run") == gone
        assert await pulled(node, "library/app/manifests/v1") == 200
        assert standin.count("manifest") == 1
        assert await lines(tmp_path, "purge", f"{APP}:v1", "--yes") == gone
        await pull_whole(node, image)
        assert standin.count("manifest", "v1", "GET") == 2
        (waiting,) = await lines(tmp_path, "collect", "--dry-run")
        assert waiting[0].startswith("would go: 0 blobs"), "they are here again, and bytes are not taken at once"
        again = await asked(tmp_path, "purge", f"{APP}:v2", "--yes")
        assert (again.stdout, again.stderr) == ("", f"mirror: nothing is cached as {APP}:v2\n")


async def test_a_purge_takes_what_nothing_else_names(tmp_path: Path, standin: Standin) -> None:
    """A child that has a tag, and a layer that another image has, stay; a part of an index goes with it only."""
    index = standin.add_index("library/app", "multi")
    amd, arm = index.images
    standin.tags["library/app"]["arm"] = arm.digest
    async with running(tmp_path, upstreams=[cached(standin)]) as node:
        assert await pulled(node, "library/app/manifests/multi") == 200
        for image, reference in ((amd, amd.digest), (arm, "arm")):
            await pull_whole(node, image, reference)
        refused = await asked(tmp_path, "purge", f"{APP}@{amd.digest}", "--yes")
        assert (refused.exit_code, index.digest in refused.stderr) == (1, True)
        (gone,) = await lines(tmp_path, "purge", f"{APP}:multi", "--yes")
        assert gone[:4] == [APP, "1", "2", "3"]
        await standin.stop()
        assert await pulled(node, "library/app/manifests/arm") == 200
        assert await pulled(node, f"library/app/manifests/{amd.digest}") >= 500


@pytest.mark.parametrize(("said", "code", "fetches"), [("n\n", 1, 1), ("y\n", 0, 2)])
async def test_a_person_is_asked_first(
    tmp_path: Path, standin: Standin, monkeypatch: pytest.MonkeyPatch, said: str, code: int, fetches: int
) -> None:
    """What would go is told in the question; who does not say yes has changed nothing."""
    monkeypatch.setattr("mirror.cli.purge.is_terminal", lambda _: True)
    image = standin.add_image("library/app", "v1")
    async with running(tmp_path, upstreams=[cached(standin)]) as node:
        await pull_whole(node, image)
        words = ["purge", f"{APP}:v1", "--data", str(tmp_path)]
        asking = asyncio.to_thread(CliRunner().invoke, main, words, input=said, env={"MIRROR_CONFIG": None})
        result = await asking
        assert (result.exit_code, "forget 1 tags and 1 manifests of 1 repositories, " in result.stderr) == (code, True)
        assert await pulled(node, "library/app/manifests/v1") == 200
        assert standin.count("manifest", "v1", "GET") == fetches


async def test_a_pattern_purges_all_that_is_cached_and_nothing_of_our_own(
    tmp_path: Path, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was pushed here cannot be fetched again."""
    images = [standin.add_image(f"library/app{number}", "v1") for number in range(2)]
    async with running(tmp_path, upstreams=[cached(standin)]) as node:
        for image in images:
            await pull_whole(node, image)
        own = await push_image(node, "team/app", "v1")
        unasked = await asked(tmp_path, "purge", "*")
        assert (unasked.exit_code, "--yes" in unasked.stderr) == (2, True)
        assert [line[0] for line in await lines(tmp_path, "purge", "*", "-y")] == [f"{APP}0", f"{APP}1"]
        assert [line[0] for line in await lines(tmp_path, "offline")] == ["team/app:v1"]
        refused = await asked(tmp_path, "purge", "team/app", "--yes")
        assert (refused.exit_code, "mirror image delete" in refused.stderr) == (1, True)
        assert await pulled(node, f"team/app/manifests/{own.digest}") == 200
        for image in images:
            await pull_whole(node, image)
        assert standin.count("manifest", "v1", "GET") == 4
        assert [line[1] for line in await lines(tmp_path, "offline", "docker.io/*")] == ["yes", "yes"]
