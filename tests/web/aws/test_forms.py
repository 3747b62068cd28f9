"""The Query protocol against botocore: what its serializer writes is read, what is written its parser reads."""

from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import given
from hypothesis import strategies as st

from mirror.aws.errors import SerializationFailed
from mirror.web.aws import markup
from mirror.web.aws.call import Service
from mirror.web.aws.forms import DEPTH_MAX, decode, read_fields
from mirror.web.aws.models import Models, Operation

MODELS = Models.load()
ANY_TEXT = st.text(max_size=12)
XML_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"]), max_size=12)


def found(service: Service, name: str) -> Operation:
    operation = MODELS.find(service, name)
    assert operation is not None
    return operation


def values(shape: Any, text: st.SearchStrategy[str], *, parsed: bool = False) -> st.SearchStrategy[Any]:
    """Any values that fit a shape; `parsed` leaves out what XML cannot tell from nothing."""
    match shape.type_name:
        case "structure":
            members = {name: values(member, text, parsed=parsed) for name, member in shape.members.items()}
            return st.fixed_dictionaries({}, optional=members)
        case "list":
            return st.lists(values(shape.member, text, parsed=parsed), min_size=1, max_size=3)
        case "map":
            return st.dictionaries(text.filter(bool), values(shape.value, text, parsed=parsed), min_size=1, max_size=3)
        case "integer" | "long":
            return st.integers(-(2**31), 2**31 - 1)
        case "boolean":
            return st.booleans()
        case "timestamp":
            return st.integers(0, 4_000_000_000)
        case "string":
            return st.just("{}") if parsed and shape.name == markup.POLICY else text
    raise AssertionError(shape.type_name)


def filled(value: Any) -> Any:
    """Leave out what stands for nothing in a form: structures without members."""
    if isinstance(value, dict):
        kept = {name: filled(member) for name, member in value.items()}
        return {name: member for name, member in kept.items() if member != {}}
    if isinstance(value, list):
        return [filled(member) for member in value]
    return value


OPERATIONS: list[tuple[Service, str]] = [
    ("iam", "CreateUser"),
    ("iam", "CreateRole"),
    ("iam", "PutUserPolicy"),
    ("iam", "SimulateCustomPolicy"),
    ("iam", "PutAccountProperties"),
    ("sts", "AssumeRole"),
    ("sts", "GetCallerIdentity"),
]


@given(data=st.data(), which=st.sampled_from(OPERATIONS))
def test_what_botocore_writes_is_read(data: st.DataObject, which: tuple[Service, str]) -> None:
    """smithy.io, "AWS Query protocol", request serialization."""
    operation = found(*which)
    shape = operation.model.input_shape
    arguments = filled(data.draw(values(shape, ANY_TEXT)))
    # An empty structure in a list leaves no field behind; such lists are not what this is about.
    if "{}" in str(arguments):
        return
    body = create_serializer("query", include_validation=False).serialize_to_request(arguments, operation.model)["body"]
    fields = read_fields("", urlencode(body).encode())
    assert (fields["Action"], fields["Version"]) == (operation.name, operation.version)
    assert decode(shape, fields) == arguments


@given(data=st.data(), which=st.sampled_from([("iam", "GetUser"), ("iam", "ListUsers"), ("sts", "AssumeRole")]))
def test_what_is_answered_botocore_reads(data: st.DataObject, which: tuple[Service, str]) -> None:
    """smithy.io, "AWS Query protocol", response serialization."""
    operation = found(*which)
    shape = operation.model.output_shape
    output = data.draw(values(shape, XML_TEXT.map(str.strip).filter(bool), parsed=True))
    body = markup.answer(operation.model, MODELS.namespace(operation.service), output, "the-id")
    response = {"status_code": 200, "headers": {}, "body": body}
    parsed = create_parser("query").parse(response, shape)
    assert parsed.pop("ResponseMetadata")["RequestId"] == "the-id"
    assert plain(filled(parsed)) == filled(output)


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [plain(member) for member in value]
    return int(value.timestamp()) if hasattr(value, "timestamp") else value


def test_a_map_is_answered_as_entries() -> None:
    """IAM API reference, GetAccountSummary."""
    operation = found("iam", "GetAccountSummary")
    body = markup.answer(operation.model, MODELS.namespace("iam"), {"SummaryMap": {"Users": 3, "Roles": 0}}, "id")
    parsed = create_parser("query").parse(
        {"status_code": 200, "headers": {}, "body": body}, operation.model.output_shape
    )
    assert parsed["SummaryMap"] == {"Users": 3, "Roles": 0}


def test_an_operation_that_answers_nothing_still_has_its_id() -> None:
    """IAM API reference, DeleteUser: ResponseMetadata alone."""
    body = markup.answer(found("iam", "DeleteUser").model, MODELS.namespace("iam"), {}, "id")
    assert body == (
        b'<DeleteUserResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">'
        b"<ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></DeleteUserResponse>"
    )


def test_a_fault_of_ours_is_the_receivers() -> None:
    """IAM API reference, "Common Errors"."""
    body = markup.refusal("urn:x", 500, "InternalFailure", "a < b", "id")
    assert b"<Type>Receiver</Type><Code>InternalFailure</Code><Message>a &lt; b</Message>" in body


def test_list_items_come_in_the_order_of_their_numbers() -> None:
    """smithy.io: the index orders, 10 after 9, and gaps are nothing."""
    shape = found("iam", "CreateUser").model.input_shape
    fields = {f"Tags.member.{number}.Key": f"k{number}" for number in (10, 9, 2)}
    assert decode(shape, fields) == {"Tags": [{"Key": "k2"}, {"Key": "k9"}, {"Key": "k10"}]}
    assert decode(shape, {"Tags": ""}) == {"Tags": []}


@pytest.mark.parametrize(
    "field",
    ["Tags.member.0.Key", "Tags.member.-1.Key", "Tags.member.\u0661.Key", "Tags.member.999999.Key", "Tags.1.Key.x"],
)
def test_what_is_no_number_numbers_nothing(field: str) -> None:
    """RELIABILITY A36 and A47."""
    shape = found("iam", "CreateUser").model.input_shape
    if field == "Tags.1.Key.x":
        assert decode(shape, {field: "v"}) == {"Tags": []}
        return
    with pytest.raises(SerializationFailed):
        decode(shape, {field: "v"})


@given(fields=st.dictionaries(st.text("TagsKeyValue.member12entry", max_size=30), st.text(max_size=5), max_size=8))
def test_any_fields_are_read_or_refused(fields: dict[str, str]) -> None:
    """RELIABILITY A47: bad input is an answer, never a fault."""
    for service, name in OPERATIONS:
        try:
            decode(found(service, name).model.input_shape, fields)
        except SerializationFailed:
            continue


def test_a_deep_path_costs_nothing() -> None:
    """RELIABILITY A2: no deeper than the models' own."""
    shape = found("iam", "CreateUser").model.input_shape
    assert decode(shape, {".".join(["x"] * 100_000): "v", "UserName": "bob"}) == {"UserName": "bob"}
    assert DEPTH_MAX > 7
