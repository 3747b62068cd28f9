"""A circuit breaker for one upstream: a machine in trouble is left alone, a client is told so at once.

Source: RELIABILITY section 4, "connect hang, refused, DNS". Pure but for its own state: `now` (monotonic seconds) is
an argument. It never asks anything itself: one caller at a time is let through as the probe.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

FAILURES_MAX: Final = 5  # in a row
FAILING_S_MAX: Final = 10.0  # or for this long: a black hole answers nobody, so five failures would take a minute
OPEN_S_MIN: Final = 5.0
OPEN_S_MAX: Final = 15.0  # a line that is back should be noticed within seconds; a probe costs one request
PROBE_S_MAX: Final = 30.0  # a probe that told nothing by then was lost: the next caller may try
JITTER_SHARE: Final = 0.25  # so that a site's nodes do not knock in step


@dataclass(slots=True)
class Breaker:
    """Closed, open until a time, or half open with one probe under way."""

    jitter: Callable[[], float] = random.random
    failures: int = 0
    failing_since: float = 0.0
    openings: int = 0
    open_until: float | None = None
    probe_until: float = 0.0
    last_success_at: float = 0.0
    reason: str = ""

    def reachable(self, now: float) -> bool:
        """Say whether a call would be let through now, without taking the probe's place."""
        return self.open_until is None or (now >= self.open_until and now >= self.probe_until)

    def enter(self, now: float) -> bool:
        """Let a call through, or not. While half open the first to come is the probe."""
        if not self.reachable(now):
            return False
        if self.open_until is not None:
            self.probe_until = now + PROBE_S_MAX
        return True

    def left(self) -> None:
        """A call ended without telling anything (cancelled): the probe's place is free again."""
        self.probe_until = 0.0

    def succeeded(self, now: float) -> None:
        self.failures = self.openings = 0
        self.open_until, self.probe_until = None, 0.0
        self.last_success_at = now
        self.reason = ""

    def failed(self, now: float, reason: str) -> None:
        """Count a failure; open on the last straw, each time for longer."""
        if not self.failures:
            self.failing_since = now
        self.failures += 1
        self.reason = reason
        half_open = self.open_until is not None and now >= self.open_until
        lasting = self.failures > 1 and now - self.failing_since >= FAILING_S_MAX
        if half_open or (self.open_until is None and (self.failures >= FAILURES_MAX or lasting)):
            pause_s = OPEN_S_MIN * 2 ** min(self.openings, 8) * (1 + JITTER_SHARE * self.jitter())
            self.open_until = now + min(pause_s, OPEN_S_MAX)
            self.openings += 1
        self.probe_until = 0.0

    def wait_s(self, now: float) -> float:
        """Return the seconds until the next call may be let through."""
        return max(0.0, (self.open_until or 0.0) - now)
