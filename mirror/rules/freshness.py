"""How long an answer of an upstream may be used, and what may be asked of one that rations its answers. Pure."""

from enum import IntEnum
from math import inf
from typing import Literal

from mirror.rules.globs import matches
from mirror.rules.routing import UpstreamRule

State = Literal["fresh", "stale", "expired"]


class Need(IntEnum):
    """Why an upstream is asked, most pressing first (the budget's order)."""

    DIGEST = 1  # bytes that a client waits for and nobody here has
    TAG = 2  # a tag, a list of tags or referrers never seen before
    REVALIDATION = 3  # something we could also answer from what we have


def tag_state(rule: UpstreamRule, tag: str, checked_at: float, now: float) -> State:
    """Say whether a tag checked at `checked_at` (seconds) is fresh, stale (ask, else serve) or expired (ask, or fail).

    A clock that went backwards makes nothing stale for ever: an age below zero counts as due.
    """
    return _state(fresh_s(rule, tag), rule, now - checked_at)


def fresh_s(rule: UpstreamRule, tag: str) -> float:
    """Say for how many seconds after its check a tag is fresh: for ever if it never changes upstream."""
    return inf if matches(rule.immutable_tags, tag) else rule.tag_fresh_s


def never_changes(rule: UpstreamRule, tag: str) -> bool:
    """Tell whether a tag that is here is never asked about again."""
    return fresh_s(rule, tag) == inf


def served_until(rule: UpstreamRule, tag: str, checked_at: float) -> float:
    """Say up to when (unix seconds) a tag checked at `checked_at` is served while its upstream does not answer."""
    return checked_at + max(fresh_s(rule, tag), rule.tag_fresh_s + rule.stale_max_s if rule.stale_max_s > 0 else 0.0)


def age_state(rule: UpstreamRule, age_s: float) -> State:
    """Say the same of anything that is `age_s` seconds old, e.g. a list of tags."""
    return _state(rule.tag_fresh_s, rule, age_s)


def _state(window_s: float, rule: UpstreamRule, age_s: float) -> State:
    if window_s == inf or 0 <= age_s < window_s:
        return "fresh"
    return "stale" if age_s < rule.tag_fresh_s + rule.stale_max_s and rule.stale_max_s > 0 else "expired"


LOW_SHARE = 0.2  # below a fifth of the quota only what clients wait for is asked
LAST_SHARE = 0.05  # below a twentieth only bytes that nobody here has


def may_ask(need: Need, remaining: int | None, limit: int | None) -> bool:
    """Say whether an upstream with `remaining` of `limit` calls left is asked for `need`. Unknown quotas allow all."""
    if remaining is None or not limit:
        return True
    share = remaining / limit
    if need is Need.REVALIDATION:
        return share >= LOW_SHARE
    return need is Need.DIGEST or share >= LAST_SHARE
