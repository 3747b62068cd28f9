"""Policies in memory: what tenants can make the node hold has a limit (RELIABILITY A2)."""

import json
import sys
import tracemalloc

import pytest

from mirror.registry.parsed_policies import ParsedPolicies
from mirror.rules.access import PolicyInvalid

STATEMENT = {"Effect": "Allow", "Principal": "*", "Action": "*"}


def text(number: int, statements: int = 190) -> str:
    """A policy near the limit of 10,240 characters, unlike any other."""
    said = [{**STATEMENT, "Sid": f"s{number}"}] + [STATEMENT] * (statements - 1)
    return json.dumps({"Version": "2012-10-17", "Statement": said}, separators=(",", ":"))


def test_a_policy_is_parsed_once() -> None:
    policies = ParsedPolicies()
    assert policies.get(text(1), "repository") is policies.get(text(1), "repository")
    with pytest.raises(PolicyInvalid):
        policies.get("{}", "repository")


def test_a_policy_takes_no_more_than_some_times_its_text() -> None:
    """Equal sets of actions are one object, however often policies say them."""
    policies = ParsedPolicies()
    policies.get(text(0), "repository")
    tracemalloc.start()
    for number in range(1, 21):
        policies.get(text(number), "repository")
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 20 * 25 * len(text(1)), taken


def test_many_policies_take_no_more_than_few() -> None:
    """The memory is emptied when so many characters are in it."""
    policies = ParsedPolicies(chars_max=5 * len(text(10)))
    for number in range(10, 99):
        policies.get(text(number), "repository")
        assert len(policies._known) <= 5
    assert sys.getsizeof(policies._known) < 10_000
