"""Eviction: how much of what is cached has to go. Sizes in bytes, times in unix seconds. Pure.

Source: issue "Space"; FIELD pain 10. Two marks: nothing goes before the high one is passed, and then as much as
leads to the low one, so that a node at its limit does not evict with each pull.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mirror.rules.patterns import Match, Patterns

LOW_PERCENT: Final = 90  # of the limit of the cache
FREE_PERCENT: Final = 125  # of the room that has to be free
DISK_SHARE: Final = 10  # a small disk has at most this part of it kept free
IN_USE_S: Final = 600.0  # what was cached or pulled this recently is being pulled


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the operator allows; 0 is no limit."""

    cache_bytes_max: int = 0
    unused_s_max: float = 0.0
    free_bytes_min: int = 0


def pins(keep: Sequence[str]) -> Match:
    """Return what tells by the name that clients know whether a cached repository is never evicted."""
    return Patterns(keep).match if keep else lambda _: False


@dataclass(frozen=True, slots=True)
class Space:
    """How things are: bytes of what is cached and nothing else, bytes free on the disk and of the whole disk."""

    cached: int
    free: int
    disk: int


def marks(bounds: Bounds, space: Space) -> tuple[int, int]:
    """Return how many cached bytes may stay: up to where nothing is done, and what is left when something is."""
    high = low = space.cached
    if bounds.cache_bytes_max:
        high, low = bounds.cache_bytes_max, bounds.cache_bytes_max * LOW_PERCENT // 100
    floor = min(bounds.free_bytes_min, space.disk // DISK_SHARE)
    if space.free < floor:
        high = min(high, space.cached - (floor - space.free))
        low = min(low, space.cached - (floor * FREE_PERCENT // 100 - space.free))
    return max(high, 0), max(low, 0)


def unused_since(bounds: Bounds, now: float) -> float | None:
    """Return since when nobody must have used an image that goes for its age; None where none does."""
    return now - max(bounds.unused_s_max, IN_USE_S) if bounds.unused_s_max else None
