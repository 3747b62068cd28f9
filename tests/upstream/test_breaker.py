"""RELIABILITY section 4: five failures open the breaker, for 5 s growing to 60 s; one probe closes it."""

from mirror.upstream.breaker import FAILURES_MAX, OPEN_S_MAX, OPEN_S_MIN, PROBE_S_MAX, Breaker


def _opened(now: float = 0.0) -> Breaker:
    breaker = Breaker(jitter=lambda: 0.0)
    for _ in range(FAILURES_MAX):
        breaker.failed(now, "refused")
    return breaker


def test_five_failures_in_a_row_open_it() -> None:
    breaker = Breaker()
    for _ in range(FAILURES_MAX - 1):
        breaker.failed(1.0, "refused")
    assert breaker.enter(1.0)
    breaker.failed(1.0, "refused")
    assert not breaker.enter(1.0)
    assert not breaker.reachable(1.0 + OPEN_S_MIN - 0.1)


def test_a_success_in_between_starts_the_count_anew() -> None:
    breaker = Breaker()
    for _ in range(FAILURES_MAX * 2):
        breaker.failed(1.0, "refused")
        breaker.succeeded(1.0)
    assert breaker.enter(1.0)


def test_ten_seconds_of_nothing_but_failure_open_it_too() -> None:
    """A black hole lets a call wait for seconds: five in a row would cost every client a minute."""
    breaker = Breaker()
    breaker.failed(0.0, "no answer")
    assert breaker.enter(9.0)
    breaker.failed(10.0, "no answer")
    assert not breaker.enter(10.0)


def test_half_open_lets_one_probe_through() -> None:
    breaker = _opened()
    assert breaker.reachable(OPEN_S_MIN)
    assert breaker.enter(OPEN_S_MIN)
    assert not breaker.enter(OPEN_S_MIN)
    breaker.succeeded(OPEN_S_MIN)
    assert breaker.enter(OPEN_S_MIN)
    assert breaker.last_success_at == OPEN_S_MIN


def test_a_lost_probe_does_not_close_the_door_for_ever() -> None:
    breaker = _opened()
    assert breaker.enter(OPEN_S_MIN)
    assert not breaker.enter(OPEN_S_MIN + PROBE_S_MAX - 0.1)
    assert breaker.enter(OPEN_S_MIN + PROBE_S_MAX)
    breaker.left()
    assert breaker.enter(OPEN_S_MIN + PROBE_S_MAX)


def test_each_opening_lasts_longer_up_to_a_quarter_of_a_minute() -> None:
    breaker, now, pauses = _opened(), 0.0, []
    for _ in range(8):
        pauses.append(breaker.wait_s(now))
        now += pauses[-1]
        assert breaker.enter(now)
        breaker.failed(now, "refused")
    assert pauses[:2] == [5.0, 10.0]
    assert pauses[2:] == [OPEN_S_MAX] * 6
