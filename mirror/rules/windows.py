"""Windows: the times of the week at which something may run.

A window is `22:00-06:00`, of every day, or `mon-fri 22:00-06:00`, `sat,sun 00:00-24:00`; one that ends at or before its
beginning ends on the next day, and is of the day on which it begins. Times are those of the node's clock. Pure.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

DAY_S: Final = 86_400
WEEK_S: Final = 7 * DAY_S
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW: Final = re.compile(r"(?:([a-z,-]+) +)?([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2})")


class Windows:
    """Some windows; none means always."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Read windows. Raises ValueError with what is wrong with one."""
        self._spans = [span for text in texts for span in spans(text)]

    def opens_in_s(self, weekday: int, second: float) -> float:
        """Say in how many seconds one is open: 0.0 now. `weekday` 0 is Monday, `second` is of that day."""
        if not self._spans:
            return 0.0
        now = weekday * DAY_S + second
        # Some seconds after a beginning, at most a week: less than the window is long means that it is open.
        if any((now - start) % WEEK_S < length for start, length in self._spans):
            return 0.0
        return min((start - now) % WEEK_S for start, _ in self._spans)


ALWAYS: Final = Windows(())


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Read a window: for each of its days the second of the week at which it begins, and its length in seconds.

    Raises ValueError.
    """
    match = _WINDOW.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a window, such as 22:00-06:00 or sat,sun 00:00-24:00")
    start, end = _second(match[2], match[3]), _second(match[4], match[5])
    if start in (DAY_S, end):
        raise ValueError(f"{text!r} is no span of time: the whole day is 00:00-24:00")
    length = (end - start) % DAY_S or DAY_S
    for day in _days(match[1] or "mon-sun"):
        yield day * DAY_S + start, length


def _second(hour: str, minute: str) -> int:
    second = int(hour) * 3_600 + int(minute) * 60
    if int(minute) > 59 or second > DAY_S:
        raise ValueError(f"{hour}:{minute} is not a time from 00:00 to 24:00")
    return second


def _days(text: str) -> list[int]:
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first not in _DAYS or (dash and last not in _DAYS):
            raise ValueError(f"{part!r} is no day or span of days: {', '.join(_DAYS)}")
        begin, length = _DAYS.index(first), 1
        if dash:
            length = (_DAYS.index(last) - begin) % 7 + 1
        found += [(begin + number) % 7 for number in range(length)]
    return found
