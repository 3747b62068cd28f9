"""Lifecycle policies of a whole node: run unasked once a day, told to webhooks, and run by the command line."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from accounts import ADMIN, OWNER, Town, populated
from command_line import asked
from hearing import receiver
from lifecycle_policies import KEEP_ONE, let_pass
from pushing import push_image

from mirror.config.settings import Webhook
from mirror.jobs.lifecycle import Pace
from mirror.store.lifecycles import LifecycleRows, Standing

WAIT_S_MAX = 20.0
NAME = "team/app"


class Looks:
    """The looks of the job at what is due."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._seen = asyncio.Condition()
        self._count = 0
        page = LifecycleRows.page

        async def counted(rows: LifecycleRows, after: int = 0) -> list[Standing]:
            found = await page(rows, after)
            if not after:
                async with self._seen:
                    self._count += 1
                    self._seen.notify_all()
            return found

        monkeypatch.setattr(LifecycleRows, "page", counted)
        monkeypatch.setattr("mirror.jobs.lifecycle.PACE", Pace(look_s=0.02, rest_s=0.0))

    async def whole(self) -> None:
        """Wait until one that begins from now on has ended: the one behind it has begun."""
        async with asyncio.timeout(WAIT_S_MAX), self._seen:
            wanted = self._count + 2
            await self._seen.wait_for(lambda: self._count >= wanted)


@asynccontextmanager
async def town_at(root: Path, url: str) -> AsyncIterator[Town]:
    async with populated(root, webhooks=(Webhook(url),)) as town:
        yield town


async def test_a_policy_is_run_once_a_day_across_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ECR.md 2.3, "Evaluation" 6, and 6.1: each image that expires is told as a deletion."""
    looks = Looks(monkeypatch)

    async def evaluated_at(town: Town) -> float:
        _, found = await town.call(ADMIN, "ecr", "GetLifecyclePolicy", repositoryName=NAME)
        return float(found.get("lastEvaluatedAt", 0.0))

    async with receiver() as (url, told):

        async def heard() -> tuple[str, str]:
            _, event = await asyncio.wait_for(told.get(), WAIT_S_MAX)
            return event["detail"]["action-type"], event["detail"]["image-tag"]

        async with town_at(tmp_path, url) as town:
            for tag in ("v1", "v2"):
                await push_image(town.client(ADMIN), NAME, tag)
                assert await heard() == ("PUSH", tag)
            await town.call(ADMIN, "ecr", "PutLifecyclePolicy", repositoryName=NAME, lifecyclePolicyText=KEEP_ONE)
            await looks.whole()
            assert await evaluated_at(town) == 0.0, "a policy that was just put can still be taken back"
            await let_pass(town.house.store, days=1 / 24)
            assert await heard() == ("DELETE", "v1")
            await looks.whole()
            ran_at = await evaluated_at(town)
            assert ran_at > 0.0
            await push_image(town.client(ADMIN), NAME, "v3")
            assert await heard() == ("PUSH", "v3")
        async with town_at(tmp_path, url) as town:
            await looks.whole()
            assert await evaluated_at(town) == ran_at
            await let_pass(town.house.store, days=1)
            assert await heard() == ("DELETE", "v2")
        assert told.empty()


@pytest.mark.usefixtures("logging_of_its_own")
async def test_the_command_line_runs_a_policy_now_or_says_what_would_go(tmp_path: Path) -> None:
    """Issue 5, section 1: by the administration socket, with the rows of a preview."""
    root, account = tmp_path / "store", ("--account", OWNER)
    async with populated(tmp_path) as town:
        old = await push_image(town.client(ADMIN), NAME, "v1")
        await push_image(town.client(ADMIN), NAME, "v2")
        none = await asked(root, "repo", "expire", NAME, *account)
        assert (none.exit_code, none.stderr.split(":")[:2]) == (1, ["mirror", " LifecyclePolicyNotFoundException"])
        await town.call(ADMIN, "ecr", "PutLifecyclePolicy", repositoryName=NAME, lifecyclePolicyText=KEEP_ONE)
        dry = await asked(root, "repo", "expire", NAME, "--dry-run", *account)
        action, tags, digest, _, priority = dry.stdout.strip().split("\t")
        assert (action, tags, digest, priority) == ("expire", "v1", old.digest, "1"), dry.output
        assert (await town.client(ADMIN).fetch(f"/v2/{NAME}/manifests/v1"))[0] == 200
        assert (await asked(root, "repo", "expire", NAME, *account)).stdout == dry.stdout
        assert (await town.client(ADMIN).fetch(f"/v2/{NAME}/manifests/v1"))[0] == 404
        again: Any = json.loads((await asked(root, "repo", "expire", NAME, "--json", *account)).stdout)
        assert again == {"images": [], "summary": {"expiringImageTotalCount": 0}, "left": 0, "waiting": 0}
        assert b"mirror_lifecycle_expired_total" in (await town.node.fetch("/metrics"))[2]
