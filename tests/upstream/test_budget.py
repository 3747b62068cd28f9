"""FIELD section 0.7: what an upstream says about its quota is obeyed, nothing is hard-coded."""

import pytest

from mirror.rules.freshness import Need
from mirror.upstream.budget import (
    RETRY_AFTER_S_DEFAULT,
    RETRY_AFTER_S_MAX,
    WINDOW_S_DEFAULT,
    Budget,
    parse_quota,
    parse_retry_after,
)

WALL = 1_800_000_000.0


@pytest.mark.parametrize(
    ("header", "quota"),
    [
        ("76;w=21600", (76, 21_600.0)),
        (" 76 ; w=60", (76, 60.0)),
        ("100", (100, WINDOW_S_DEFAULT)),
        ("100, 100;w=60", (100, WINDOW_S_DEFAULT)),
        ("-1;w=60", None),
        ("٧٦;w=60", None),
        ("many", None),
        (None, None),
    ],
)
def test_a_quota_is_calls_and_their_window(header: str | None, quota: tuple[int, float] | None) -> None:
    assert parse_quota(header) == quota


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("0", 1.0),
        ("999999999", RETRY_AFTER_S_MAX),
        ("Fri, 15 Jan 2027 08:00:30 GMT", 30.0),
        ("Fri, 15 Jan 2021 08:00:30 GMT", 1.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert parse_retry_after(header, WALL) == seconds


def test_a_429_pauses_everything_until_its_time() -> None:
    budget = Budget()
    assert budget.pause({"Retry-After": "60"}, 100.0, WALL) == 60.0
    assert budget.wait_s(Need.DIGEST, 130.0) == 30.0
    assert budget.wait_s(Need.DIGEST, 160.0) == 0.0


def test_a_429_without_a_time_pauses_for_a_while() -> None:
    budget = Budget()
    assert budget.pause({}, 100.0, WALL) == RETRY_AFTER_S_DEFAULT


def test_the_last_calls_are_kept_for_what_clients_wait_for() -> None:
    """Digest misses first, then new tags, then revalidation."""
    budget = Budget()
    budget.read({"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "10;w=21600"}, 0.0)
    assert budget.wait_s(Need.REVALIDATION, 0.0) > 0
    assert budget.wait_s(Need.TAG, 0.0) == 0
    budget.read({"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "1;w=21600"}, 0.0)
    assert budget.wait_s(Need.TAG, 0.0) > 0
    assert budget.wait_s(Need.DIGEST, 0.0) == 0


def test_a_quota_refills_as_its_window_slides() -> None:
    """Nothing is refused for ever because of a number that was told long ago."""
    budget = Budget()
    budget.read({"ratelimit-limit": "100;w=100", "ratelimit-remaining": "0;w=100"}, 0.0)
    wait_s = budget.wait_s(Need.REVALIDATION, 0.0)
    assert budget.wait_s(Need.REVALIDATION, wait_s) == 0.0
    assert budget.left(1_000.0) == 100
