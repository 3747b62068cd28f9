"""The health of one upstream: may it be asked now, and what did its last answers mean?

Breaker and budget in one place, fed by the wire, read before each call. Asks nothing itself.
"""

import math
import time
from dataclasses import dataclass, field

import aiohttp

from mirror import telemetry
from mirror.oci.errors import UpstreamThrottled, UpstreamUnavailable
from mirror.rules.freshness import Need
from mirror.upstream.breaker import Breaker
from mirror.upstream.budget import Budget


@dataclass(frozen=True, slots=True)
class Standing:
    """How an upstream stands: would it be asked now, else why not and in how many seconds.

    `calls_left` of `calls` is None where it grants no number; `answered_s` is how long ago it answered last, None for
    never.
    """

    reachable: bool
    reason: str
    wait_s: float
    calls_left: int | None
    calls: int | None
    answered_s: float | None


@dataclass(slots=True)
class Health:
    """What is known of `upstream`, a name for messages."""

    upstream: str
    breaker: Breaker = field(default_factory=Breaker)
    budget: Budget = field(default_factory=Budget)

    def reachable(self, now: float) -> bool:
        return self.breaker.reachable(now) and not self.budget.paused(now)

    def standing(self, now: float) -> Standing:
        """Say how the upstream stands at `now`."""
        paused = self.budget.paused(now)
        last = self.breaker.last_success_at
        return Standing(
            reachable=self.reachable(now),
            reason="it asks us to wait" if paused else self.breaker.reason,
            wait_s=max(self.breaker.wait_s(now), self.budget.paused_until - now if paused else 0.0),
            calls_left=self.budget.left(now),
            calls=self.budget.limit,
            answered_s=now - last if last else None,
        )

    def admit(self, need: Need) -> None:
        """Let a call through; raises UpstreamUnavailable, with Retry-After, when now is not the time."""
        now = time.monotonic()
        self.check_budget(need, now)
        if not self.breaker.enter(now):
            raise self._not_now(
                f"is not asked after repeated failures ({self.breaker.reason})", self.breaker.wait_s(now)
            )

    def check_budget(self, need: Need, now: float) -> None:
        """Raise UpstreamThrottled, with Retry-After, when the budget has nothing for `need` at `now`."""
        wait_s = self.budget.wait_s(need, now)
        if wait_s:
            raise self._throttled("has few calls left for us, or none", wait_s)

    def answered(self, response: aiohttp.ClientResponse) -> None:
        """Take note of an answer of the registry itself; a 401 says nothing yet, its token may still fail."""
        now = time.monotonic()
        self.budget.read(response.headers, now)
        left = self.budget.left(now)
        if left is not None:
            telemetry.UPSTREAM_BUDGET.labels(self.upstream).set(left)
        if response.status < 500 and response.status not in (401, 429):
            self.breaker.succeeded(now)

    def denied(self) -> None:
        """A final 401: no access, but alive."""
        self.breaker.succeeded(time.monotonic())

    def failed(self, reason: str) -> None:
        self.breaker.failed(time.monotonic(), reason)

    def timed_out(self, started_at: float) -> None:
        """Take note of a call that ran out of time; not a failure when the registry answered meanwhile."""
        if self.breaker.last_success_at < started_at:
            self.failed("no answer in time")

    def throttled(self, response: aiohttp.ClientResponse) -> UpstreamThrottled:
        """Take note of a 429 (or a 503 with a time) and return what to raise."""
        return self._throttled("asks us to wait", self.budget.pause(response.headers, time.monotonic(), time.time()))

    def _throttled(self, why: str, wait_s: float) -> UpstreamThrottled:
        return UpstreamThrottled(f"upstream {self.upstream} {why}", headers=_retry_after(wait_s))

    def _not_now(self, why: str, wait_s: float) -> UpstreamUnavailable:
        return UpstreamUnavailable(f"upstream {self.upstream} {why}", headers=_retry_after(wait_s))


def _retry_after(wait_s: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, math.ceil(wait_s)))}
