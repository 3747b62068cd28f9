"""The daily run: what is due is run, one after the other, and a failure is its repository's alone."""

import asyncio
import time
from typing import Any

from registries import HOME

from mirror.aws.errors import LifecyclePolicyNotFound
from mirror.jobs.lifecycle import LifecycleJob, Pace
from mirror.oci.names import Repository
from mirror.store.lifecycles import Standing

DAY_S = 86_400.0
QUICK = Pace(look_s=0.0, rest_s=0.0)


class Policies:
    """Policies in pages of two."""

    def __init__(self, **evaluated_at: float | None) -> None:
        repositories = [Repository(HOME, "", name) for name in evaluated_at]
        put_at = time.time() - 30 * DAY_S
        rows = enumerate(zip(repositories, evaluated_at.values(), strict=True), 1)
        self._standings = [Standing(number, one, put_at, at) for number, (one, at) in rows]

    async def page(self, after: int = 0) -> list[Standing]:
        return [one for one in self._standings if one.id > after][:2]


class Expiry:
    """Takes note of what is run; `broken` fails."""

    def __init__(self, **failures: Exception) -> None:
        self.ran: list[str] = []
        self.reached = asyncio.Event()
        self._failures = failures

    async def run(self, repository: Repository) -> None:
        self.ran.append(repository.name)
        if len(self.ran) >= 10:
            self.reached.set()
        if repository.name in self._failures:
            raise self._failures[repository.name]


async def test_what_is_due_is_run_and_nothing_else() -> None:
    """ECR.md 2.3, "Evaluation" 6: never run, or not for more than a day; over all pages."""
    now = time.time()
    expiry = Expiry()
    policies = Policies(never=None, just_now=now - 0.001, late=now - DAY_S - 1, later=now - 5 * DAY_S)
    await LifecycleJob(policies, expiry, QUICK).look()
    assert expiry.ran == ["never", "late", "later"]


async def test_a_run_that_fails_keeps_nobody_back_and_is_tried_again_later(events: list[Any]) -> None:
    """Not at each look: a repository whose run fails may be the largest one. A policy that is gone is no failure."""
    expiry = Expiry(broken=OSError("disk"), gone=LifecyclePolicyNotFound("gone", HOME))
    job = LifecycleJob(Policies(broken=None, gone=None, good=None), expiry, QUICK)
    await job.look()
    await job.look()
    assert expiry.ran == ["broken", "gone", "good", "gone", "good"]
    failed = [event for event in events if event["log_level"] == "error"]
    assert [(event["event"], event["repository"]) for event in failed] == [("lifecycle policy failed", "broken")]
    impatient = LifecycleJob(Policies(broken=None), expiry, Pace(look_s=0.0, rest_s=0.0, again_s=0.0))
    await impatient.look()
    await impatient.look()
    assert expiry.ran[-2:] == ["broken", "broken"]


async def test_it_looks_for_ever_also_when_the_database_does_not_answer(events: list[Any]) -> None:
    """The next look finds what this one has not."""

    class Sick(Policies):
        looks = 0

        async def page(self, after: int = 0) -> list[Standing]:
            self.looks += 1
            if self.looks == 1:
                raise OSError("no database")
            return await super().page(after)

    expiry = Expiry()
    running = asyncio.create_task(LifecycleJob(Sick(app=None), expiry, QUICK).run())
    async with asyncio.timeout(10.0):
        await expiry.reached.wait()
    running.cancel()
    await asyncio.wait({running})
    assert [event["event"] for event in events if event["log_level"] == "error"] == ["lifecycle policies not looked at"]
