"""Dates in policies, as seconds since 1970-01-01 UTC.

Source: IAM guide, "Date condition operators": the ISO 8601 forms of the W3C note (from a year to a fraction of a second
with a zone), or epoch seconds. The days are counted as in H. Hinnant, "chrono-compatible low-level date algorithms".
Pure: no clock and no calendar library.
"""

import re
from fractions import Fraction
from typing import Final

_ISO: Final = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})"
    r"(?:[Tt]([0-9]{2}):([0-9]{2})(?::([0-9]{2}(?:\.[0-9]{1,9})?))?([Zz]|[+-][0-9]{2}:?[0-9]{2})?)?)?)?"
)
_EPOCH: Final = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,9})?")
_DAY_S: Final = 86_400
_MONTH_DAYS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def parse_date(text: str) -> Fraction | None:
    """Read a date, without a zone as UTC; four digits are a year. None for anything else."""
    match = _ISO.fullmatch(text)
    if match is None:
        return Fraction(text) if _EPOCH.fullmatch(text) else None
    year, month, day = int(match[1]), int(match[2] or 1), int(match[3] or 1)
    hour, minute, second = int(match[4] or 0), int(match[5] or 0), Fraction(match[6] or 0)
    if not 1 <= month <= 12 or not 1 <= day <= _days_of(year, month) or hour > 23 or minute > 59 or second >= 60:
        return None
    offset_s = _offset_s(match[7])
    if offset_s is None:
        return None
    return _days(year, month, day) * _DAY_S + hour * 3_600 + minute * 60 + second - offset_s


def _offset_s(zone: str | None) -> int | None:
    if zone in (None, "Z", "z"):
        return 0
    digits = zone[1:].replace(":", "")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 23 or minutes > 59:
        return None
    return (hours * 3_600 + minutes * 60) * (-1 if zone[0] == "-" else 1)


def _days_of(year: int, month: int) -> int:
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 29 if leap and month == 2 else _MONTH_DAYS[month - 1]


def _days(year: int, month: int, day: int) -> int:
    """Count the days since 1970-01-01. The year begins in March: the leap day is its last."""
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468
