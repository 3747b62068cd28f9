"""The daily run of lifecycle policies: one repository after the other, each at its own moment of the day.

Source: ECR.md 2.3, "Evaluation" 6. When a repository was run is in the database, so a restart neither skips a day nor
repeats one; a run that a stop has cut short is begun again, and finds what is left. A run that fails is tried again
after a while, and keeps no other repository back.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from mirror import telemetry
from mirror.aws.errors import LifecyclePolicyNotFound
from mirror.oci.names import Repository
from mirror.rules.lifecycle import is_due
from mirror.store.lifecycles import Standing


@dataclass(frozen=True, slots=True)
class Pace:
    """How busy the job is; the defaults are the product's, tests have shorter ones."""

    look_s: float = 300.0  # between two looks at what is due
    rest_s: float = 1.0  # between two repositories
    again_s: float = 3_600.0  # after a run that failed


PACE: Final = Pace()


class Policies(Protocol):
    """Who knows which repositories have a policy."""

    async def page(self, after: int = 0) -> list[Standing]: ...


class Expiry(Protocol):
    """Who carries a policy out."""

    async def run(self, repository: Repository) -> object: ...


class LifecycleJob:
    """The runs of all repositories."""

    def __init__(self, policies: Policies, expiry: Expiry, pace: Pace | None = None) -> None:
        self._policies = policies
        self._expiry = expiry
        self._pace = pace or PACE
        self._put_off: dict[Repository, float] = {}  # until when (unix seconds), after a failure

    async def run(self) -> None:
        """Run what is due, for ever. A fault of ours is logged and tried again."""
        while True:
            failed = False
            try:
                await self.look()
            except Exception:  # noqa: BLE001 - logged, and the next look finds what this one has not
                failed = True
                telemetry.log.exception("lifecycle policies not looked at")
            now = time.time()
            telemetry.job_ended("lifecycle", now, now + self._pace.look_s, failed=failed)
            await asyncio.sleep(self._pace.look_s)

    async def look(self) -> None:
        """Run the policies that are due now."""
        after = 0
        while page := await self._policies.page(after):
            for repository in self._due(page):
                await self._run(repository)
                await asyncio.sleep(self._pace.rest_s)
            after = page[-1].id

    def _due(self, page: Sequence[Standing]) -> list[Repository]:
        now = time.time()
        self._put_off = {repository: until for repository, until in self._put_off.items() if until > now}
        return [
            one.repository
            for one in page
            if one.repository not in self._put_off and is_due(one.repository, one.put_at, one.evaluated_at, now)
        ]

    async def _run(self, repository: Repository) -> None:
        try:
            await self._expiry.run(repository)
        except LifecyclePolicyNotFound:
            return  # taken away since the page was read
        except Exception:  # noqa: BLE001 - logged, and one repository's fault keeps no other back
            telemetry.LIFECYCLE_FAILED.inc()
            telemetry.log.exception("lifecycle policy failed", repository=str(repository))
            self._put_off[repository] = time.time() + self._pace.again_s
