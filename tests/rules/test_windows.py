"""Windows of time: which moments of the week are inside, and how long it is until the next."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.rules.windows import DAY_S, Windows

MONDAY, FRIDAY, SATURDAY, SUNDAY = 0, 4, 5, 6
HOUR = 3_600


@pytest.mark.parametrize(
    ("texts", "weekday", "hour", "wait_h"),
    [
        ([], MONDAY, 3, 0),
        (["22:00-06:00"], MONDAY, 21, 1),
        (["22:00-06:00"], MONDAY, 5, 0),
        (["22:00-06:00"], MONDAY, 6, 16),
        (["mon-fri 22:00-06:00"], SATURDAY, 5, 0),
        (["mon-fri 22:00-06:00"], SATURDAY, 7, 63),
        (["mon-fri 22:00-06:00"], MONDAY, 1, 21),
        (["sat,sun 00:00-24:00"], SUNDAY, 23, 0),
        (["sat,sun 00:00-24:00"], FRIDAY, 23, 1),
        (["sun-mon 12:00-13:00"], MONDAY, 12, 0),
        (["08:00-09:00", "12:00-13:00"], MONDAY, 10, 2),
    ],
)
def test_a_window_is_open_when_it_says(texts: list[str], weekday: int, hour: int, wait_h: int) -> None:
    """Issue 4, section 1: time windows; one over midnight is of the day on which it begins."""
    assert Windows(texts).opens_in_s(weekday, hour * HOUR) == wait_h * HOUR


@pytest.mark.parametrize("text", ["", "22-06", "25:00-26:00", "10:60-11:00", "10:00-10:00", "24:00-01:00", "frei 1:00"])
def test_what_is_no_window_is_refused(text: str) -> None:
    """README, bad input: a precise error."""
    with pytest.raises(ValueError, match=r"window|day|time"):
        Windows([text])


@given(
    st.integers(0, 6),
    st.floats(0, DAY_S - 1),
    st.sampled_from([["22:00-06:00"], ["tue 09:00-10:00"], ["sat-mon 23:30-00:15"]]),
)
def test_after_the_wait_a_window_is_open(weekday: int, second: float, texts: list[str]) -> None:
    """Whenever one asks: what waits as long as it is told finds it open."""
    windows = Windows(texts)
    then = weekday * DAY_S + second + windows.opens_in_s(weekday, second) + 0.001
    assert windows.opens_in_s(int(then // DAY_S) % 7, then % DAY_S) == 0.0
