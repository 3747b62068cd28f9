"""How much of the cache has to go: two marks, and a floor of free room."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.rules.eviction import IN_USE_S, Bounds, Space, marks, unused_since

GIB = 1024**3
SIZES = st.integers(0, 2**50)


@pytest.mark.parametrize(
    ("bounds", "space", "expected"),
    [
        # Without bounds all of it may stay.
        (Bounds(), Space(500, 0, 1_000), (500, 500)),
        # Above the limit a tenth of it goes at once.
        (Bounds(cache_bytes_max=1_000), Space(1_001, 5_000, 10_000), (1_000, 900)),
        (Bounds(cache_bytes_max=1_000), Space(999, 5_000, 10_000), (1_000, 900)),
        # 100 bytes have to be free and 60 are: 40 too many, and 25 more go.
        (Bounds(free_bytes_min=100), Space(500, 60, 10_000), (460, 435)),
        (Bounds(free_bytes_min=100), Space(500, 100, 10_000), (500, 500)),
        # A small disk has a tenth of it kept free and no more.
        (Bounds(free_bytes_min=GIB), Space(500, 60, 1_000), (460, 435)),
        # What cannot be had is not asked for.
        (Bounds(free_bytes_min=100), Space(10, 0, 10_000), (0, 0)),
    ],
)
def test_what_may_stay(bounds: Bounds, space: Space, expected: tuple[int, int]) -> None:
    """Issue 5, section 2: by size, with a high and a low water mark."""
    assert marks(bounds, space) == expected


@given(SIZES, SIZES, SIZES, SIZES, SIZES)
def test_what_is_done_ends_what_it_was_done_for(limit: int, floor: int, cached: int, free: int, disk: int) -> None:
    """FIELD pain 10: hysteresis. After an eviction down to the low mark there is nothing to evict."""
    bounds = Bounds(cache_bytes_max=limit, free_bytes_min=floor)
    high, low = marks(bounds, Space(cached, free, disk))
    assert low >= 0
    if cached > high:
        assert low <= high
        gone = cached - low
        after, _ = marks(bounds, Space(low, free + gone, disk))
        assert low <= after or low == 0


def test_what_is_in_use_is_never_too_old() -> None:
    """Issue 5, section 2: nothing in use is removed; age is what the operator says it is."""
    assert unused_since(Bounds(), 10_000.0) is None
    assert unused_since(Bounds(unused_s_max=3_600.0), 10_000.0) == 6_400.0
    assert unused_since(Bounds(unused_s_max=1.0), 10_000.0) == 10_000.0 - IN_USE_S
