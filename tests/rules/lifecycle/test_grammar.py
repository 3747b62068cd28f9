"""Lifecycle policies, read: ECR's grammar, and its words for each fault."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.aws.errors import InvalidParameter
from mirror.rules.lifecycle import LifecyclePolicy, compact, parse_lifecycle

FRAME = (
    "Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: 'Lifecycle policy validation failure: "
)
EXPIRE = {"type": "expire"}
ARCHIVE = {"type": "transition", "targetStorageClass": "archive"}


def selection(status: str = "untagged", count_type: str = "imageCountMoreThan", **more: object) -> dict[str, Any]:
    unit = {} if count_type == "imageCountMoreThan" else {"countUnit": "days"}
    return {"tagStatus": status, "countType": count_type, "countNumber": 5, **unit, **more}


def rule(priority: object = 1, selected: object = None, action: object = None, **more: object) -> dict[str, Any]:
    return {
        "rulePriority": priority,
        "selection": selection() if selected is None else selected,
        "action": EXPIRE if action is None else action,
        **more,
    }


def parsed(*rules: object) -> LifecyclePolicy:
    return parse_lifecycle(json.dumps({"rules": list(rules)}))


def refusal(text: str) -> str:
    with pytest.raises(InvalidParameter) as caught:
        parse_lifecycle(text)
    message = caught.value.message
    assert message.startswith(FRAME)
    assert message.endswith("'")
    return message[len(FRAME) : -1]


def refused(*rules: object) -> str:
    return refusal(json.dumps({"rules": list(rules)}))


def without(value: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key not in keys}


UNREADABLE = [
    "",
    "x",
    "[]",
    '"rules"',
    "null",
    '{"rules":[]',
    '{"rules":NaN}',
    '{"rules":[],"rules":[]}',
    '{"rules":"\\ud800"}',
    "[" * 30_000,
    '{"rules":' + "9" * 20_000 + "}",
]


@pytest.mark.parametrize("text", UNREADABLE, ids=range(len(UNREADABLE)))
def test_what_is_no_json_object_is_no_policy(text: str) -> None:
    """ECR.md 2.3, "Messages", row 1; two readers of a doubled key would see two policies."""
    assert refusal(text) == "Could not map policyString into LifecyclePolicy."


SCHEMA_FAULTS = [
    ({}, 'object has missing required properties (["rules"])'),
    ({"rule": []}, 'object has missing required properties (["rules"])'),
    ({"rules": [rule()], "x": 1}, 'object instance has properties which are not allowed by the schema: (["x"])'),
    ({"rules": {}}, 'instance type (object) does not match any allowed primitive type (allowed: ["array"])'),
    ({"rules": []}, "array is too short: must have at least 1 elements but instance has 0 elements"),
    (
        {"rules": [rule(priority) for priority in range(1, 52)]},
        "array is too long: must have at most 50 elements but instance has 51 elements",
    ),
    ({"rules": ["x"]}, 'instance type (string) does not match any allowed primitive type (allowed: ["object"])'),
    ({"rules": [{}]}, 'object has missing required properties (["action", "rulePriority", "selection"])'),
    (
        {"rules": [rule(b=1, a=2)]},
        'object instance has properties which are not allowed by the schema: (["a", "b"])',
    ),
]


@pytest.mark.parametrize(("body", "message"), SCHEMA_FAULTS)
def test_a_policy_that_does_not_fit_the_schema_is_refused(body: object, message: str) -> None:
    """ECR.md 2.3, "Messages"."""
    assert refusal(json.dumps(body)) == message


WRONG_TYPE = "instance type ({}) does not match any allowed primitive type (allowed: {})"
NO_SCHEMA = "instance failed to match exactly one schema (matched 0 out of 2)"
RULE_FAULTS = [
    (rule("1"), WRONG_TYPE.format("string", '["integer"]')),
    (rule(1.0), WRONG_TYPE.format("number", '["integer"]')),
    (rule(True), WRONG_TYPE.format("boolean", '["integer"]')),
    (rule(0), "numeric instance is lower than the required minimum (minimum: 1, found: 0)"),
    (rule(2**31), "numeric instance is greater than the required maximum (maximum: 2147483647, found: 2147483648)"),
    (rule(description=None), WRONG_TYPE.format("null", '["string"]')),
    (rule(selected="x"), WRONG_TYPE.format("string", '["object"]')),
    (rule(action=[]), WRONG_TYPE.format("array", '["object"]')),
    (
        rule(selected={"tagStatus": "any"}),
        'object has missing required properties (["countNumber", "countType"])',
    ),
    (
        rule(selected=selection(tagPrefix=["x"])),
        'object instance has properties which are not allowed by the schema: (["tagPrefix"])',
    ),
    (
        rule(selected=selection("x")),
        'instance value (x) not found in enum :(possible values: ["any", "tagged", "untagged"])',
    ),
    (
        rule(selected=selection("TAGGED")),
        'instance value (TAGGED) not found in enum :(possible values: ["any", "tagged", "untagged"])',
    ),
    (
        rule(selected=selection(storageClass="x")),
        'instance value (x) not found in enum :(possible values: ["archive", "standard"])',
    ),
    (
        rule(selected=selection("any", "sinceImagePushed", countUnit="weeks")),
        'instance value (weeks) not found in enum :(possible values: ["days"])',
    ),
    (rule(selected=selection(countUnit="days")), NO_SCHEMA),
    (rule(selected=without(selection("any", "sinceImagePushed"), "countUnit")), NO_SCHEMA),
    (rule(selected=without(selection("any", "sinceImagePulled"), "countUnit"), action=ARCHIVE), NO_SCHEMA),
    (rule(selected=selection("any", "sinceForever")), NO_SCHEMA),
    (
        rule(selected=selection(countNumber=0)),
        "numeric instance is lower than the required minimum (minimum: 1, found: 0)",
    ),
    (
        rule(selected=selection("any", "sinceImageTransitioned", storageClass="archive", countNumber=89)),
        "numeric instance is lower than the required minimum (minimum: 90, found: 89)",
    ),
    (rule(action={}), 'object has missing required properties (["type"])'),
    (
        rule(action={"type": "keep"}),
        'instance value (keep) not found in enum :(possible values: ["expire", "transition"])',
    ),
    (rule(action={"type": "transition"}), NO_SCHEMA),
    (rule(action={"type": "expire", "targetStorageClass": None}), NO_SCHEMA),
    (
        rule(action={"type": "transition", "targetStorageClass": "standard"}),
        'instance value (standard) not found in enum :(possible values: ["archive"])',
    ),
    (
        rule(selected=selection("tagged")),
        "Must specify tagPrefixList or tagPatternList when tagStatus=TAGGED.",
    ),
    (
        rule(selected=selection("tagged", tagPrefixList=["a"], tagPatternList=["b"])),
        "Cannot specify both tagPrefixList and tagPatternList.",
    ),
    (
        rule(selected=selection("untagged", tagPrefixList=["a"])),
        "Can only specify tagPrefixList or tagPatternList when tagStatus=TAGGED.",
    ),
    (
        rule(selected=selection("any", tagPatternList=["a"])),
        "Can only specify tagPrefixList or tagPatternList when tagStatus=TAGGED.",
    ),
    (
        rule(selected=selection("tagged", tagPrefixList=[])),
        "array is too short: must have at least 1 elements but instance has 0 elements",
    ),
    (
        rule(selected=selection("tagged", tagPrefixList=[""])),
        'string "" is too short (length: 0, required minimum: 1)',
    ),
    (rule(selected=selection("tagged", tagPrefixList=[1])), WRONG_TYPE.format("integer", '["string"]')),
    (
        rule(selected=selection("tagged", tagPatternList=["*a*b*c*d*"])),
        "tagPatternList allows at most 4 wildcards (*) per string.",
    ),
]


@pytest.mark.parametrize(("faulty", "message"), RULE_FAULTS, ids=range(len(RULE_FAULTS)))
def test_a_faulty_rule_is_refused(faulty: object, message: str) -> None:
    """ECR.md 2.3, "Grammar" and "Messages"."""
    assert refused(faulty) == message


COMBINATIONS = [
    ("imageCountMoreThan", "standard", EXPIRE, True),
    ("imageCountMoreThan", "standard", ARCHIVE, True),
    ("imageCountMoreThan", "archive", EXPIRE, False),
    ("sinceImagePushed", "standard", EXPIRE, True),
    ("sinceImagePushed", "standard", ARCHIVE, True),
    ("sinceImagePushed", "archive", EXPIRE, False),
    ("sinceImagePulled", "standard", EXPIRE, False),
    ("sinceImagePulled", "standard", ARCHIVE, True),
    ("sinceImagePulled", "archive", ARCHIVE, False),
    ("sinceImageTransitioned", "standard", EXPIRE, False),
    ("sinceImageTransitioned", "archive", EXPIRE, True),
    ("sinceImageTransitioned", "archive", ARCHIVE, False),
]


@pytest.mark.parametrize(("count_type", "storage_class", "action", "is_good"), COMBINATIONS)
def test_a_count_type_goes_with_some_classes_and_actions_only(
    count_type: str, storage_class: str, action: object, is_good: bool
) -> None:
    """ECR.md 2.3, the table of count types."""
    written = rule(1, selection("any", count_type, storageClass=storage_class, countNumber=90), action)
    if is_good:
        [read] = parsed(written).rules
        assert (read.selection.count_type, read.selection.storage_class) == (count_type, storage_class)
        assert read.action == action["type"]  # type: ignore[index]
    else:
        assert refused(written).startswith(f"countType={count_type} requires ")


def test_the_archive_class_must_be_written() -> None:
    """ECR.md 2.3: sinceImageTransitioned, "archive, must be written"."""
    assert "requires storageClass=archive" in refused(
        rule(1, selection("any", "sinceImageTransitioned", countNumber=90))
    )


def archived(priority: int) -> dict[str, Any]:
    return rule(priority, selection("any", "sinceImageTransitioned", storageClass="archive", countNumber=90))


def tagged(priority: int, **lists: list[str]) -> dict[str, Any]:
    return rule(priority, {**selection("tagged"), **lists})


POLICY_FAULTS = [
    ([rule(1), rule(1, selection("any"))], "Rule priorities must be unique: 1 stands twice."),
    ([rule(1), rule(2)], "Only one rule can select Untagged images per storage class."),
    (
        [rule(1, selection("any")), rule(2, selection("any"))],
        "Only one rule can select Any images per storage class.",
    ),
    (
        [rule(1, selection("any")), rule(2)],
        "Rule for tagStatus=ANY must have the lowest priority per storage class",
    ),
    ([archived(1), archived(2)], "Only one rule can select Any images per storage class."),
    (
        [tagged(1, tagPrefixList=["a", "b"]), tagged(2, tagPrefixList=["b", "a"])],
        "Rules must have different sets of tagPrefixList or tagPatternList per storage class.",
    ),
    (
        [tagged(1, tagPrefixList=["a"]), tagged(2, tagPatternList=["a*"])],
        "Rules must have different sets of tagPrefixList or tagPatternList per storage class.",
    ),
]


@pytest.mark.parametrize(("rules", "message"), POLICY_FAULTS)
def test_rules_that_cannot_stand_together_are_refused(rules: list[object], message: str) -> None:
    """ECR.md 2.3, "Policy-level rules"."""
    assert refused(*rules) == message


@pytest.mark.parametrize(
    "rules",
    [
        [rule(2, selection("any")), rule(1)],
        [archived(1), rule(2, selection("any"))],
        [tagged(1, tagPrefixList=["a"]), tagged(2, tagPrefixList=["a", "b"]), rule(3, selection("any"))],
        [tagged(1, tagPatternList=["*a*b*c*"])],
        [rule(priority, selection("tagged", tagPrefixList=[str(priority)])) for priority in range(1, 51)],
    ],
)
def test_rules_that_can_stand_together_come_in_the_order_of_their_priorities(rules: list[dict[str, Any]]) -> None:
    """ECR.md 2.3, "Policy-level rules" and "Evaluation" 3."""
    priorities = [read.priority for read in parsed(*rules).rules]
    assert priorities == sorted(written["rulePriority"] for written in rules)


def test_the_archive_example_of_the_guide_is_read() -> None:
    """ECR.md 2.3, "Archive policy example"."""
    text = """{"rules":[{"rulePriority":1,"description":"archive unused","selection":{"tagStatus":"any","countType":
        "sinceImagePulled","countUnit":"days","countNumber":90},"action":{"type":"transition","targetStorageClass":
        "archive"}},{"rulePriority":2,"description":"drop old archive","selection":{"tagStatus":"any","storageClass":
        "archive","countType":"sinceImageTransitioned","countUnit":"days","countNumber":365},"action":{"type":
        "expire"}}]}"""
    first, second = parse_lifecycle(text).rules
    assert (first.action, first.description, first.selection.count_number) == ("transition", "archive unused", 90)
    assert (second.action, second.selection.storage_class) == ("expire", "archive")


def test_a_policy_is_echoed_compact_in_the_order_of_its_keys() -> None:
    """ECR.md 2.3, "Operations": PutLifecyclePolicy."""
    text = '{ "rules" : [ { "selection": { "tagStatus" : "any" },\n "rulePriority": 1, "description": "é \\u0007" } ] }'
    assert compact(text) == ('{"rules":[{"selection":{"tagStatus":"any"},"rulePriority":1,"description":"é \\u0007"}]}')


words = st.sampled_from(["tagged", "any", "expire", "days", "imageCountMoreThan", "", "x"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 3) | st.floats() | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)
MEMBERS = ["rulePriority", "description", "selection", "action", "x"]
SELECTED = ["tagStatus", "countType", "countNumber", "countUnit", "storageClass", "tagPrefixList", "tagPatternList"]


@given(
    st.dictionaries(st.sampled_from(MEMBERS), values, max_size=2),
    st.dictionaries(st.sampled_from(SELECTED), values, max_size=2),
)
def test_whatever_stands_in_a_policy_it_is_read_or_refused(
    members: dict[str, object], selected: dict[str, object]
) -> None:
    """RELIABILITY A4: no input ends in another error than a refusal in ECR's frame."""
    body = {"rules": [{**rule(1, {**selection(), **selected}), **members}]}
    text = json.dumps(body)
    try:
        assert parse_lifecycle(text).rules
    except InvalidParameter as error:
        assert error.message.startswith(FRAME)
    else:
        assert json.loads(compact(text)) == body
