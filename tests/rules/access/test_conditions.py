"""Conditions: every operator, missing keys, several values, and variables."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mirror.rules.access.conditions import read_conditions
from mirror.rules.access.dates import parse_date
from mirror.rules.access.document import read_document
from mirror.rules.access.faults import PolicyInvalid
from mirror.rules.access.operators import OPERATORS

ROLE = "arn:aws:iam::111111111111:role/deploy"


def hold(block: dict[str, Any], context: dict[str, Any], *, allow: bool = True, variables: bool = True) -> bool:
    facts = {key: (value,) if isinstance(value, str) else tuple(value) for key, value in context.items()}
    conditions = read_conditions(read_document(json.dumps(block)), "Condition", allow=allow, variables=variables)
    return all(condition.holds(facts) for condition in conditions)


@pytest.mark.parametrize(
    ("operator", "key", "wanted", "given", "holds"),
    [
        ("StringEquals", "aws:username", "bob", "bob", True),
        ("StringEquals", "aws:username", "bob", "Bob", False),
        ("StringEquals", "aws:username", "b*", "bob", False),
        ("StringEquals", "aws:username", ["al", "bob"], "bob", True),
        ("StringNotEquals", "aws:username", ["al", "bob"], "bob", False),
        ("StringNotEquals", "aws:username", ["al", "bob"], "eve", True),
        ("StringEqualsIgnoreCase", "aws:username", "bob", "BOB", True),
        ("StringNotEqualsIgnoreCase", "aws:username", "bob", "BOB", False),
        ("StringLike", "aws:username", "b?b*", "bobby", True),
        ("StringLike", "aws:username", "B*", "bobby", False),
        ("StringNotLike", "aws:username", ["a*", "b*"], "bobby", False),
        ("StringNotLike", "aws:username", ["a*", "c*"], "bobby", True),
        ("NumericEquals", "aws:MultiFactorAuthAge", 60, "60.0", True),
        ("NumericNotEquals", "aws:MultiFactorAuthAge", "60", "61", True),
        ("NumericLessThan", "aws:MultiFactorAuthAge", "3600", "3600", False),
        ("NumericLessThanEquals", "aws:MultiFactorAuthAge", "3600", "3600", True),
        ("NumericGreaterThan", "aws:MultiFactorAuthAge", "9", "10", True),
        ("NumericGreaterThanEquals", "aws:MultiFactorAuthAge", "10.5", "10.49", False),
        ("NumericEquals", "aws:MultiFactorAuthAge", "60", "sixty", False),
        ("DateEquals", "aws:CurrentTime", "2026-11-23T00:00:00Z", "2026-11-23", True),
        ("DateNotEquals", "aws:CurrentTime", "2026-11-23", "2026-11-24", True),
        ("DateLessThan", "aws:CurrentTime", "2026-11-23T12:00:00+02:00", "2026-11-23T10:00:00Z", False),
        ("DateLessThanEquals", "aws:CurrentTime", "2026-11-23T12:00:00+02:00", "2026-11-23T10:00:00Z", True),
        ("DateGreaterThan", "aws:EpochTime", "2020-01-01", "1800000000.5", True),
        ("DateGreaterThanEquals", "aws:TokenIssueTime", "1800000000", "2020-01-01T00:00:00.5Z", False),
        ("Bool", "aws:SecureTransport", "false", "false", True),
        ("Bool", "aws:SecureTransport", True, "true", True),
        ("Bool", "aws:SecureTransport", "TRUE", "false", False),
        ("BinaryEquals", "aws:userid", "QUlEQQ==", "AIDA", True),
        ("BinaryEquals", "aws:userid", "QUlEQQ==", "AIDB", False),
        ("IpAddress", "aws:SourceIp", "10.0.0.0/8", "10.2.3.4", True),
        ("IpAddress", "aws:SourceIp", "10.1.1.1/8", "10.2.3.4", True),
        ("IpAddress", "aws:SourceIp", "10.0.0.0/8", "::ffff:10.2.3.4", True),
        ("IpAddress", "aws:SourceIp", "10.0.0.0/8", "2001:db8::1", False),
        ("IpAddress", "aws:SourceIp", "2001:DB8::/32", "2001:db8::1", True),
        ("IpAddress", "aws:SourceIp", "203.0.113.9", "203.0.113.9", True),
        ("IpAddress", "aws:SourceIp", "0.0.0.0/0", "nonsense", False),
        ("NotIpAddress", "aws:SourceIp", ["10.0.0.0/8", "192.168.0.0/16"], "192.168.1.1", False),
        ("NotIpAddress", "aws:SourceIp", ["10.0.0.0/8", "192.168.0.0/16"], "8.8.8.8", True),
        ("ArnEquals", "aws:PrincipalArn", "arn:aws:iam::111111111111:role/*", ROLE, True),
        ("ArnLike", "aws:PrincipalArn", "arn:aws:iam::*:role/dep?oy", ROLE, True),
        ("ArnLike", "aws:PrincipalArn", "*", ROLE, True),
        ("ArnLike", "aws:PrincipalArn", "arn:*:role/deploy:*:*:*", ROLE, False),
        ("ArnLike", "aws:PrincipalArn", "arn:aws:iam::*", ROLE, None),
        ("ArnNotEquals", "aws:PrincipalArn", "arn:aws:iam::222222222222:role/*", ROLE, True),
        ("ArnNotLike", "aws:PrincipalArn", "arn:aws:iam::111111111111:*", ROLE, False),
        ("Null", "aws:username", "true", "bob", False),
        ("Null", "aws:username", False, "bob", True),
        ("Null", "aws:username", ["true", "false"], "bob", True),
    ],
)
def test_an_operator_compares(operator: str, key: str, wanted: Any, given: str, holds: bool | None) -> None:
    """IAM guide, "Condition operators". None: the value is refused when it is put."""
    if holds is None:
        with pytest.raises(PolicyInvalid):
            hold({operator: {key: wanted}}, {})
    else:
        assert hold({operator: {key: wanted}}, {key.lower(): given}) is holds


GOOD = {"S": "x", "N": "1", "D": "2026", "B": "true", "I": "10.0.0.0/8", "A": "arn:aws:iam::1:x"}


@pytest.mark.parametrize("name", OPERATORS)
def test_a_missing_key_satisfies_negated_operators_only(name: str) -> None:
    """IAM guide, "Condition operators": negated matching is true for a missing key; IfExists makes each true."""
    good = "QQ==" if name == "BinaryEquals" else GOOD[name.removeprefix("Not")[0]]
    negated = "Not" in name
    assert OPERATORS[name].negated is negated
    for absent in ({}, {"aws:username": []}):
        assert hold({name: {"aws:username": good}}, absent) is negated
        assert hold({f"{name}IfExists": {"aws:username": good}}, absent)
        assert hold({f"ForAllValues:{name}": {"aws:TagKeys": good}}, absent)
        assert not hold({f"ForAnyValue:{name}": {"aws:TagKeys": good}}, absent)


def test_null_asks_whether_a_key_is_absent() -> None:
    assert hold({"Null": {"aws:TokenIssueTime": "true"}}, {})
    assert not hold({"Null": {"aws:TokenIssueTime": "false"}}, {})


@pytest.mark.parametrize(
    ("operator", "given", "holds"),
    [
        ("ForAllValues:StringEquals", ["a", "b"], True),
        ("ForAllValues:StringEquals", ["a", "c"], False),
        ("ForAnyValue:StringEquals", ["a", "c"], True),
        ("ForAnyValue:StringEquals", ["c", "d"], False),
        ("ForAllValues:StringNotEquals", ["c", "d"], True),
        ("ForAllValues:StringNotEquals", ["a", "d"], False),
        ("ForAnyValue:StringNotEquals", ["a", "d"], True),
        ("ForAnyValue:StringNotEquals", ["a", "b"], False),
        ("StringEquals", ["c", "a"], True),
        ("StringNotEquals", ["c", "a"], False),
        ("ForAnyValue:StringLikeIfExists", ["c", "a"], True),
    ],
)
def test_several_values_of_a_key_are_asked_one_by_one(operator: str, given: list[str], holds: bool) -> None:
    """IAM guide, "Multivalued context keys"."""
    assert hold({operator: {"aws:TagKeys": ["a", "b"]}}, {"aws:tagkeys": given}) is holds


def test_keys_and_operators_must_hold_together() -> None:
    """IAM guide, "Conditions with multiple context keys": a logical AND."""
    block = {
        "StringEquals": {"aws:username": "bob", "aws:PrincipalAccount": "111111111111"},
        "Bool": {"aws:SecureTransport": "true"},
    }
    context = {"aws:username": "bob", "aws:principalaccount": "111111111111", "aws:securetransport": "true"}
    assert hold(block, context)
    for key in context:
        assert not hold(block, context | {key: "other"})


@pytest.mark.parametrize(
    ("key", "fact"),
    [
        ("aws:ResourceTag/Env", "aws:resourcetag/env"),
        ("ecr:ResourceTag/Env", "aws:resourcetag/env"),
        ("ecr-public:resourceTag/env", "aws:resourcetag/env"),
        ("AWS:REQUESTTAG/ENV", "aws:requesttag/env"),
        ("aws:PrincipalTag/env", "aws:principaltag/env"),
    ],
)
def test_keys_have_no_case_and_a_repositorys_tags_have_one_name(key: str, fact: str) -> None:
    """ECR.md 2.1, "Condition keys": `ecr:ResourceTag/k` has the same value as `aws:ResourceTag/k`."""
    assert hold({"StringEquals": {key: "prod"}}, {fact: "prod"})


@pytest.mark.parametrize(
    ("text", "given", "holds"),
    [
        ("team/${aws:username}", {"aws:username": "bob"}, True),
        ("team/${AWS:UserName}", {"aws:username": "bob"}, True),
        ("team/${aws:username}", {"aws:username": "*"}, False),
        ("team/${aws:username}", {}, False),
        ("team/${aws:username, 'bob'}", {}, True),
        ("team/${aws:username,'bob'}", {"aws:username": "eve"}, False),
        ("team/b${?}b", {}, False),
        ("team/b?b", {}, True),
        ("${*}", {}, False),
        ("*", {}, True),
        ("team/${aws:PrincipalTag/name}", {"aws:principaltag/name": ["bob"]}, True),
        ("team/${aws:PrincipalTag/name}", {"aws:principaltag/name": ["bob", "eve"]}, False),
    ],
)
def test_a_variable_stands_for_what_the_request_says(text: str, given: dict[str, Any], holds: bool) -> None:
    """IAM guide, "Variables and tags"; what a variable brings is no wildcard."""
    assert hold({"StringLike": {"aws:RequestTag/x": text}}, {"aws:requesttag/x": "team/bob"} | given) is holds


def test_the_old_version_has_no_variables() -> None:
    """IAM guide, "Version": before 2012-10-17 `${aws:username}` is a plain text."""
    block = {"StringEquals": {"aws:UserAgent": "${aws:username}"}}
    context = {"aws:useragent": "${aws:username}", "aws:username": "bob"}
    assert hold(block, context, variables=False)
    assert not hold(block, context)


def test_the_characters_of_wildcards_can_be_written() -> None:
    """IAM guide, "Specifying special characters": `${*}`, `${?}`, `${$}`."""
    block = {"StringLike": {"aws:UserAgent": "${$}{x}${*}${?}*"}}
    assert hold(block, {"aws:useragent": "${x}*?abc"})
    assert not hold(block, {"aws:useragent": "${x}abc"})


def test_a_comparison_that_cannot_be_made_never_opens() -> None:
    """A negated operator whose variable has no value: an Allow does not apply, a Deny does."""
    block = {"StringNotEquals": {"aws:RequestTag/owner": "${aws:username}"}}
    context = {"aws:requesttag/owner": "bob"}
    assert not hold(block, context, allow=True)
    assert hold(block, context, allow=False)


def test_an_arn_with_a_variable_keeps_its_parts() -> None:
    block = {"ArnLike": {"aws:SourceArn": "arn:aws:ecr:*:${aws:PrincipalAccount}:repository/*"}}
    context = {"aws:sourcearn": "arn:aws:ecr:eu-west-1:111111111111:repository/a:b", "aws:principalaccount": "1" * 12}
    assert hold(block, context)
    assert not hold(block, context | {"aws:principalaccount": "111111111111:repository/a"})


@pytest.mark.parametrize(
    "block",
    [
        {"StringEqual": {"aws:username": "x"}},
        {"stringequals": {"aws:username": "x"}},
        {"NullIfExists": {"aws:username": "true"}},
        {"ForAllValues:Null": {"aws:username": "true"}},
        {"ForSomeValues:StringEquals": {"aws:username": "x"}},
        {"StringEquals": {"aws:nobody": "x"}},
        {"StringEquals": {"aws:ResourceTag/": "x"}},
        {"StringEquals": {"s3:ResourceTag/a": "x"}},
        {"StringEquals": {"aws:username": []}},
        {"StringEquals": {"aws:username": None}},
        {"StringEquals": {"aws:username": {"a": "b"}}},
        {"StringEquals": {"aws:username": "${unknown}"}},
        {"NumericEquals": {"aws:MultiFactorAuthAge": "1e3"}},
        {"NumericEquals": {"aws:MultiFactorAuthAge": "${aws:username}"}},
        {"DateEquals": {"aws:CurrentTime": "yesterday"}},
        {"DateEquals": {"aws:CurrentTime": "2026-02-29"}},
        {"Bool": {"aws:SecureTransport": "yes"}},
        {"BinaryEquals": {"aws:userid": "%"}},
        {"IpAddress": {"aws:SourceIp": "10.0.0.0/33"}},
        {"IpAddress": {"aws:SourceIp": "host"}},
        {"ArnEquals": {"aws:PrincipalArn": "bob"}},
        {"Null": {"aws:username": "maybe"}},
    ],
    ids=json.dumps,
)
def test_what_is_unknown_in_a_condition_is_refused(block: dict[str, Any]) -> None:
    """RELIABILITY A37: an unknown condition is an error at write."""
    with pytest.raises(PolicyInvalid):
        hold(block, {})


@given(st.datetimes(), st.integers(-23 * 60, 23 * 60))
def test_a_date_means_what_the_calendar_says(moment: datetime, offset_min: int) -> None:
    zone = timezone(timedelta(minutes=offset_min))
    assume(moment.year >= 1000)
    there = moment.replace(tzinfo=zone)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    read = parse_date(there.isoformat())
    assert read is not None
    assert read * 1_000_000 == (there - epoch) // timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970", 0),
        ("1970-02", 31 * 86_400),
        ("1970-01-02", 86_400),
        ("1970-01-01T01:00", 3_600),
        ("1970-01-01T01:00Z", 3_600),
        ("1970-01-01T00:00:00.25+0100", -3_599.75),
        ("86400", 86_400),
        ("1700000000.5", 1_700_000_000.5),
        ("-100", -100),
        ("1970-13", None),
        ("1970-1-1", None),
        ("1970-01-01T24:00", None),
        ("1970-01-01T00:00:60", None),
        ("1970-01-01T00:00+24:00", None),
        ("1970-01-01Z", None),
        ("1970-01-01 00:00", None),
        ("", None),
        ("\u0661\u0669\u0667\u0660", None),
    ],
)
def test_a_date_has_the_forms_of_the_note(text: str, seconds: float | None) -> None:
    """IAM guide, "Date condition operators": W3C forms of ISO 8601, or epoch seconds."""
    assert parse_date(text) == seconds
