"""How policies are given back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.rules.access.echo import compact, pretty
from mirror.rules.access.faults import PolicyInvalid

SENT = (
    '{"Version":"2012-10-17","Statement":[{"Sid":"AllowPull","Effect":"Allow","Principal":"*",'
    '"Action":["ecr:BatchGetImage","ecr:GetDownloadUrlForLayer"]}]}'
)
PRINTED = """{
  "Version" : "2012-10-17",
  "Statement" : [ {
    "Sid" : "AllowPull",
    "Effect" : "Allow",
    "Principal" : "*",
    "Action" : [ "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer" ]
  } ]
}"""


def test_a_policy_is_printed_as_jackson_prints_it() -> None:
    """ECR.md 2.1, "Echo": the example."""
    assert pretty(SENT) == PRINTED
    assert pretty(PRINTED) == PRINTED


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("{}", "{ }"),
        ("[]", "[ ]"),
        ('{"a":[],"b":{}}', '{\n  "a" : [ ],\n  "b" : { }\n}'),
        ('[{"a":1},{"b":2}]', '[ {\n  "a" : 1\n}, {\n  "b" : 2\n} ]'),
        ('{"b":1.50,"a":1e2,"c":true,"d":null}', '{\n  "b" : 1.50,\n  "a" : 1e2,\n  "c" : true,\n  "d" : null\n}'),
        ('"\\u00e9\\n\\""', '"é\\n\\""'),
    ],
)
def test_every_value_has_its_form(text: str, printed: str) -> None:
    """ECR.md 2.1, "Echo": order as sent, scalar arrays on one line, numbers as they were written."""
    assert pretty(text) == printed


def test_compact_has_no_spaces() -> None:
    """ECR.md 2.3: lifecycle policies are echoed compact."""
    assert compact(PRINTED) == SENT
    assert compact('{"a" : [ 1.0 , { } ] , "b" : [ ]}') == '{"a":[1.0,{}],"b":[]}'


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(documents)
def test_what_is_printed_is_what_was_sent(document: object) -> None:
    """ECR.md 2.1: valid JSON is essential."""
    text = json.dumps(document)
    assert json.loads(pretty(text)) == document
    assert compact(pretty(text)) == json.dumps(document, separators=(",", ":"), ensure_ascii=False)


@pytest.mark.parametrize("text", ["", "{", '{"a":1,"a":2}', "[NaN]", '"\\ud800"', "[" * 40 + "]" * 40, "[" * 9_999])
def test_what_is_not_json_is_refused(text: str) -> None:
    """RELIABILITY finding 7: two readers of a key that is given twice see two policies."""
    with pytest.raises(PolicyInvalid):
        pretty(text)
