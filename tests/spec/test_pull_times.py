"""When an image was pulled last: by whom it counts, in either lane, and what it costs the database."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from accounts import ADMIN, OWNER, PULLER, Client, Town, populated
from lanes import Lane, Wire, express_answers, lane_of, warmed
from pushing import PushedImage, push_image

from mirror.oci.names import Registry, Repository
from mirror.registry.pull_times import AGAIN_S

NAME = "team/app"


@pytest.fixture
def lane(monkeypatch: pytest.MonkeyPatch) -> Lane:
    return lane_of(monkeypatch)


@pytest.fixture
async def town(tmp_path: Path, lane: Lane) -> AsyncIterator[Town]:
    async with populated(tmp_path) as town:
        yield town


async def push(town: Town) -> PushedImage:
    return await push_image(town.client(ADMIN), NAME, "v1")


async def pulled_at(town: Town) -> float | None:
    """Return what DescribeImages says once what is known has been written."""
    await town.house.pull_times.write()
    _, answer = await town.call(ADMIN, "ecr", "DescribeImages", repositoryName=NAME)
    (detail,) = answer["imageDetails"]
    found: float | None = detail.get("lastRecordedPullTime")
    return found


def asking(client: Client, method: str = "GET", reference: str = "v1") -> bytes:
    return client.asking(method, f"/v2/{NAME}/manifests/{reference}")


async def test_a_pull_is_recorded_by_tag_and_by_digest(town: Town) -> None:
    """ECR.md 1.3: lastRecordedPullTime; a push and a look at what is there are no pulls."""
    image = await push(town)
    client = town.client(PULLER)
    async with client.head(f"/v2/{NAME}/manifests/v1") as response:
        assert response.status == 200
    assert await pulled_at(town) is None
    for reference in ("v1", image.digest):
        town.house.pull_times._written.clear()
        before = await pulled_at(town) or 0.0
        assert (await client.fetch(f"/v2/{NAME}/manifests/{reference}"))[0] == 200
        assert (await pulled_at(town) or 0.0) > before


async def test_the_express_lane_records_too(town: Town, lane: Lane) -> None:
    """DESIGN section 4: last use counts in both lanes alike."""
    await push(town)
    client = town.client(PULLER)
    await warmed(lane, town.node, asking(client))
    town.house.pull_times.fresh.clear()
    await warmed(lane, town.node, asking(client))
    assert await pulled_at(town) is not None


async def test_batch_get_image_is_a_pull(town: Town) -> None:
    """ECR.md 6.2: pulls are BatchGetImage, whoever asks it."""
    await push(town)
    status, _ = await town.call(PULLER, "ecr", "BatchGetImage", repositoryName=NAME, imageIds=[{"imageTag": "v1"}])
    assert status == 200
    assert await pulled_at(town) is not None


async def test_the_pulls_of_who_is_excluded_leave_it_alone(town: Town, lane: Lane) -> None:
    """ECR.md 2.9, pull-time exclusions: from the next request on, in both lanes."""
    await push(town)
    client = town.client(PULLER)
    await warmed(lane, town.node, asking(client))
    town.house.pull_times.fresh.clear()
    arn = f"arn:aws:iam::{OWNER}:user/{PULLER.name}"
    status, _ = await town.call(ADMIN, "ecr", "RegisterPullTimeUpdateExclusion", principalArn=arn)
    assert status == 200
    assert (await client.fetch(f"/v2/{NAME}/manifests/v1"))[0] == 200
    await warmed(lane, town.node, asking(client))
    assert await pulled_at(town) is None


async def test_an_image_that_is_pulled_all_day_is_written_a_few_times(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ECR.md 1.3: "write it lazily": at least once every 24 hours is promised."""
    await push(town)
    times = town.house.pull_times
    written: list[Any] = []
    note, count = town.house.store.images.note_pulls, town.house.store.images.count_pulls

    async def noted(pulls: Any) -> None:
        written.append(pulls)
        await note(pulls)

    kept = {"note_pulls": staticmethod(noted), "count_pulls": staticmethod(count)}
    monkeypatch.setattr(times, "_images", type("Images", (), kept))
    now = [1_000_000.0]
    monkeypatch.setattr(times, "_clock", lambda: now[0])
    for _ in range(24):
        assert (await town.client(PULLER).fetch(f"/v2/{NAME}/manifests/v1"))[0] == 200
        await times.write()
        now[0] += 3_600.0
    assert len(written) == 24 * 3_600.0 / AGAIN_S


async def test_the_pulls_of_a_repository_are_counted(town: Town, lane: Lane) -> None:
    """Issue 5, section 4, "monitor": each pull once, in either lane, also where counts are written at once."""
    image = await push(town)
    client, times = town.client(PULLER), town.house.pull_times
    await warmed(lane, town.node, asking(client))
    await times.write_counts()
    before = await counted(town)
    wire = await Wire.open(town.node)
    for _ in range(3):
        assert (await express_answers(wire, asking(client)))[0] == 200
    wire.close()
    assert (await client.fetch(f"/v2/{NAME}/manifests/{image.digest}", headers={"Range": "bytes=0-"}))[0] == 206
    async with client.head(f"/v2/{NAME}/manifests/v1") as response:
        assert response.status == 200
    await asyncio.gather(*(times.write_counts() for _ in range(3)))
    assert await counted(town) - before == 4


async def counted(town: Town) -> int:
    """Return how many pulls of the repository the database knows."""
    return (await town.house.store.images.usage(Repository(Registry(OWNER), "", NAME))).pulls
