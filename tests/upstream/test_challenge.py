"""RFC 9110 section 11.6.1, as registries use it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.upstream.challenge import CHALLENGE_CHARS_MAX, Challenge, choose, parse_challenges


@pytest.mark.parametrize(
    ("header", "challenges"),
    [
        ('Basic realm="x"', [Challenge("basic", {"realm": "x"})]),
        ("Basic realm=x", [Challenge("basic", {"realm": "x"})]),
        ("Basic", [Challenge("basic", {})]),
        (
            'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
            [
                Challenge(
                    "bearer",
                    {
                        "realm": "https://auth.docker.io/token",
                        "service": "registry.docker.io",
                        "scope": "repository:a/b:pull,push",
                    },
                )
            ],
        ),
        ('BEARER Realm="a" , sErvice = b', [Challenge("bearer", {"realm": "a", "service": "b"})]),
        (r'Basic realm="a \"b\" \\c, Bearer realm=d"', [Challenge("basic", {"realm": 'a "b" \\c, Bearer realm=d'})]),
        (
            'Basic realm="a", Bearer realm="b"',
            [Challenge("basic", {"realm": "a"}), Challenge("bearer", {"realm": "b"})],
        ),
        ("Negotiate, Basic realm=a", [Challenge("negotiate", {}), Challenge("basic", {"realm": "a"})]),
    ],
)
def test_a_challenge_is_read_as_the_rfc_writes_it(header: str, challenges: list[Challenge]) -> None:
    assert parse_challenges([header]) == challenges


@pytest.mark.parametrize(
    "header",
    [
        "",
        'Bearer realm="a',
        'Bearer realm="a" service="b"',
        'Bearer realm="a",realm="b"',
        'Bearer realm="a\nb"',
        'Bearer realm="ä"',
        "Bearer realm=",
        "Bearer =a",
        "Negotiate abc==",
        "x" * (CHALLENGE_CHARS_MAX + 1),
        "Bearer " + ",".join(f"p{number}=v" for number in range(17)),
    ],
)
def test_a_line_outside_the_grammar_is_no_challenge(header: str) -> None:
    """A header that two readers could read differently is not guessed at."""
    assert parse_challenges([header]) == []


def test_a_bearer_with_a_realm_is_chosen_before_a_basic() -> None:
    basic, bearer = Challenge("basic", {"realm": "x"}), Challenge("bearer", {"realm": "https://a"})
    assert choose([basic, bearer]) is bearer
    assert choose([basic, Challenge("bearer", {})]) is basic
    assert choose([Challenge("digest", {})]) is None


@given(st.lists(st.text(alphabet='Bearsic ,="\\\\\t\nrlmé-', max_size=60), max_size=3))
def test_no_header_whatever_breaks_the_reader(headers: list[str]) -> None:
    for challenge in parse_challenges(headers):
        assert challenge.scheme == challenge.scheme.lower()
        assert all("\n" not in value for value in challenge.parameters.values())
