"""The budget of calls that an upstream grants: what it says it has left, and when it said "not now".

Source: RFC 9110 section 10.2.3 (Retry-After); Docker Hub's `ratelimit-limit: 100;w=21600`. Hard-codes no quota (FIELD
section 0.7). `now` is monotonic seconds, `wall` seconds since the epoch; both are arguments.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

from mirror.rules.freshness import LAST_SHARE, LOW_SHARE, Need, may_ask

RETRY_AFTER_S_DEFAULT: Final = 30.0  # a 429 that names no time
RETRY_AFTER_S_MIN: Final = 1.0
RETRY_AFTER_S_MAX: Final = 3_600.0  # an upstream's slip of a zero must not silence it for a week
WINDOW_S_DEFAULT: Final = 21_600.0  # Docker Hub's six hours, for a quota that names no window
WINDOW_S_MAX: Final = 86_400.0

_QUOTA: Final = re.compile(r"[ \t]*([0-9]{1,12})[ \t]*(?:;.*)?", re.ASCII)
_WINDOW: Final = re.compile(r";[ \t]*w=([0-9]{1,9})[ \t]*(?:;|$)", re.ASCII)
_SECONDS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)


def parse_quota(header: str | None) -> tuple[int, float] | None:
    """Read `76;w=21600` as (calls, window in seconds); None for anything else."""
    match = _QUOTA.fullmatch((header or "").split(",")[0])
    if match is None:
        return None
    window = _WINDOW.search(match[0])
    return int(match[1]), min(float(window[1]), WINDOW_S_MAX) if window else WINDOW_S_DEFAULT


def parse_retry_after(header: str | None, wall: float) -> float | None:
    """Read Retry-After, seconds or an HTTP date, as seconds from `wall`, within our bounds; None when unreadable."""
    text = (header or "").strip()
    if _SECONDS.fullmatch(text):
        return _bounded(float(text))
    try:
        return _bounded(parsedate_to_datetime(text).timestamp() - wall)
    except (ValueError, OverflowError):
        return None


def _bounded(seconds: float) -> float:
    return min(max(seconds, RETRY_AFTER_S_MIN), RETRY_AFTER_S_MAX)


@dataclass(slots=True)
class Budget:
    """What one upstream, under one credential, lets us ask."""

    paused_until: float = 0.0
    remaining: int | None = None
    limit: int | None = None
    window_s: float = WINDOW_S_DEFAULT
    seen_at: float = 0.0

    def read(self, headers: Mapping[str, str], now: float) -> None:
        """Take note of the quota that an answer tells."""
        remaining, limit = parse_quota(headers.get("ratelimit-remaining")), parse_quota(headers.get("ratelimit-limit"))
        if remaining is None:
            return
        self.remaining, self.window_s = remaining
        self.limit = limit[0] if limit else self.limit
        self.seen_at = now

    def pause(self, headers: Mapping[str, str], now: float, wall: float) -> float:
        """Take note of a 429: nothing is asked until the time it names. Returns the seconds until then."""
        wait_s = parse_retry_after(headers.get("Retry-After"), wall) or RETRY_AFTER_S_DEFAULT
        self.paused_until = max(self.paused_until, now + wait_s)
        return wait_s

    def paused(self, now: float) -> bool:
        return now < self.paused_until

    def wait_s(self, need: Need, now: float) -> float:
        """Return 0.0 when `need` may be asked now, else the seconds to wait."""
        if self.paused(now):
            return self.paused_until - now
        left = self.left(now)
        if may_ask(need, left, self.limit) or left is None or not self.limit:
            return 0.0
        share = LOW_SHARE if need is Need.REVALIDATION else LAST_SHARE
        return max(RETRY_AFTER_S_MIN, (share - left / self.limit) * self.window_s)

    def left(self, now: float) -> int | None:
        """Return the calls left: what was told, and since then the steady refill of a sliding window."""
        if self.remaining is None or not self.limit or not self.window_s:
            return None
        refill = self.limit * max(0.0, now - self.seen_at) / self.window_s
        return min(self.limit, self.remaining + int(refill))
