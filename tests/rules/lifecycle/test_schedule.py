"""When policies are run: each repository once a day, at a moment of its own."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from registries import HOME

from mirror.oci.names import Registry, Repository
from mirror.rules.lifecycle.schedule import SETTLE_S, due_at, is_due, moment_s

DAY_S = 86_400
HOUR_S = 3_600
APP = Repository(HOME, "", "team/app")
PUT_AT = 20_000.0 * DAY_S + 12_345


def test_the_moments_of_many_repositories_are_spread_over_the_day() -> None:
    """Issue 5, section 1: no hour of the day has much more than its share."""
    names = [Repository(HOME, "", f"team-{number % 7}/app-{number}") for number in range(24_000)]
    hours = Counter(moment_s(name) // HOUR_S for name in names)
    assert sorted(hours) == list(range(24))
    assert max(hours.values()) < 1_200
    assert min(hours.values()) > 800


def test_a_moment_is_the_repositorys_and_stays() -> None:
    """A restart, or another version of Python, moves nothing."""
    assert moment_s(APP) == moment_s(Repository(HOME, "", "team/app")) == 79_186
    assert moment_s(APP) != moment_s(Repository(Registry("1" * 12), "", "team/app"))


def test_a_new_policy_is_run_within_the_hour_and_can_be_taken_back_before() -> None:
    """ECR.md 2.3, "Evaluation" 6: within 24 hours; sooner is better."""
    assert not is_due(APP, PUT_AT, None, PUT_AT + SETTLE_S - 1)
    assert is_due(APP, PUT_AT, None, PUT_AT + SETTLE_S)
    assert SETTLE_S < HOUR_S


@given(st.floats(0, 30_000 * DAY_S), st.text("abc/", max_size=5))
def test_the_next_run_is_at_the_moment_and_within_a_day(evaluated_at: float, name: str) -> None:
    """Once a day: neither twice at one moment nor a day left out."""
    repository = Repository(HOME, "", name)
    due = due_at(repository, 0.0, evaluated_at)
    assert evaluated_at < due <= evaluated_at + DAY_S
    assert (due - moment_s(repository)) % DAY_S == pytest.approx(0, abs=0.01) or (
        due - moment_s(repository)
    ) % DAY_S == pytest.approx(DAY_S, abs=0.01)


def test_moments_that_a_stopped_node_has_missed_are_made_up_for_once() -> None:
    """After a week off: at once, and then at the next moment."""
    back = PUT_AT + 7 * DAY_S
    assert is_due(APP, PUT_AT, PUT_AT, back)
    assert not is_due(APP, PUT_AT, back, back + 1)


def test_a_last_run_of_a_clock_that_was_ahead_keeps_nothing_back() -> None:
    """RELIABILITY G24: clocks are set."""
    assert is_due(APP, PUT_AT, PUT_AT + 365 * DAY_S, PUT_AT + HOUR_S)
