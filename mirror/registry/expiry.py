"""Expiry: a repository's lifecycle policy carried out: images expire, or go to the archive.

Source: ECR guide, "Automate the cleanup of images by using lifecycle policies"; ECR.md 2.3, 6.1 and 6.2. Work is
done in small transactions with a rest between two of them, oldest image first; each looks at its images again, so that
what was tagged, pulled or pushed since stays. The change log tells webhooks, replication and the index; the audit has
CloudTrail's PolicyExecutionEvent.
"""

import asyncio
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Final

from mirror import telemetry
from mirror.aws.arns import repository_arn
from mirror.oci.names import Repository
from mirror.registry.audit import Audit
from mirror.registry.lifecycles import Lifecycles
from mirror.registry.pull_times import PullTimes
from mirror.registry.repositories import Repositories
from mirror.rules import lifecycle
from mirror.store.lifecycles import LifecycleRows, PolicyChanged

BATCH: Final = 10  # actions of a transaction: some 30 ms, for which pushes wait
BATCH_MAX: Final = 50  # of one whose last image has many signatures: they go with it
REST_S: Final = 0.05  # between two of them
FAILURES_MAX: Final = 100  # told in the audit of one run: parts of lists are found again each day
assert BATCH <= BATCH_MAX


@dataclass(slots=True)
class Run:
    """What a run did, and how many images it did not come to.

    `left` are those that were tagged, pulled or pushed again meanwhile; `waiting` are for another run.
    """

    waiting: int
    done: list[lifecycle.Action] = field(default_factory=list)
    left: int = 0

    def take_in(self, asked: Sequence[lifecycle.Action], done: Sequence[lifecycle.Action]) -> None:
        """Count a batch."""
        self.waiting -= len(asked)
        self.left += len(asked) - len(done)
        self.done += done

    @property
    def expired(self) -> int:
        return sum(1 for action in self.done if action.type == "expire")

    @property
    def archived(self) -> int:
        return len(self.done) - self.expired


class Expiry:
    """Carries out the policies of all repositories. `region` stands in ARNs."""

    def __init__(
        self,
        repositories: Repositories,
        lifecycles: Lifecycles,
        rows: LifecycleRows,
        pull_times: PullTimes,
        audit: Audit,
        region: str,
    ) -> None:
        self._repositories = repositories
        self._lifecycles = lifecycles
        self._rows = rows
        self._pull_times = pull_times
        self._audit = audit
        self._region = region

    async def wanted(self, repository: Repository) -> Sequence[lifecycle.Action]:
        """Return what `run` would do. Raises LifecyclePolicyNotFound."""
        policy = lifecycle.parse_lifecycle(await self._lifecycles.get(repository))
        await self._pull_times.write()
        return (await self._lifecycles.judge(repository, policy, time.time())).evaluation.actions

    async def run(self, repository: Repository, *, seconds_max: float = inf) -> Run:
        """Do what the policy wants now, for `seconds_max` or until it is another one.

        A run that came to its end is the repository's of that day. Raises LifecyclePolicyNotFound, Unavailable.
        """
        now, deadline = time.time(), time.monotonic() + seconds_max
        text = await self._lifecycles.get(repository)
        policy = lifecycle.parse_lifecycle(text)
        before = await self._lifecycles.evaluated_at(repository) or 0.0
        await self._pull_times.write()
        judgement = await self._lifecycles.judge(repository, policy, now)
        run = Run(len(judgement.evaluation.actions))
        try:
            for batch in _batches(judgement.evaluation.actions):
                if time.monotonic() > deadline:
                    return run
                # A pull of a moment ago is known in memory alone.
                await self._pull_times.write()
                done = await self._rows.act(repository, text, batch, judgement.known, time.time())
                run.take_in(batch, done)
                self._note(repository, lifecycle.executions(policy, _policy_id(text), before, done))
                await asyncio.sleep(REST_S)
        except PolicyChanged:
            telemetry.log.info("lifecycle policy is another one", repository=self._repositories.name(repository))
        finally:
            self._count(repository, run)
        failures = judgement.evaluation.failures[:FAILURES_MAX]
        self._note(repository, lifecycle.executions(policy, _policy_id(text), before, failures=failures))
        await self._rows.note_run(repository, now)
        return run

    def _note(self, repository: Repository, events: Iterator[dict[str, object]]) -> None:
        name = self._repositories.name(repository)
        for details in events:
            self._audit.note_service(
                event_name="PolicyExecutionEvent",
                registry=repository.registry,
                resource=repository_arn(repository.registry, self._region, name),
                details={"repositoryName": name, **details},
            )

    def _count(self, repository: Repository, run: Run) -> None:
        if not run.done and not run.left:
            return
        telemetry.LIFECYCLE_EXPIRED.inc(run.expired)
        telemetry.LIFECYCLE_ARCHIVED.inc(run.archived)
        telemetry.log.info(
            "lifecycle policy run",
            repository=self._repositories.name(repository),
            account=repository.registry.account,
            expired=run.expired,
            archived=run.archived,
            left=run.left,
        )


def _batches(actions: Sequence[lifecycle.Action]) -> Iterator[list[lifecycle.Action]]:
    """Cut behind an image whenever that can be, never between it and its artifacts, which are before it."""
    batch: list[lifecycle.Action] = []
    for action in actions:
        batch.append(action)
        if len(batch) >= (BATCH_MAX if action.follows else BATCH):
            yield batch
            batch = []
    if batch:
        yield batch


def _policy_id(text: str) -> str:
    """Name a policy: the same text is the same policy."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, text))
