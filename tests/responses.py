"""Strict reading of raw JSON 1.1 answers by the service model: what boto3 forgives, other SDKs do not.

assert_answer("ecr", "CreateRepository", body)
assert_modelled("ecr", "CreateRepository", "RepositoryAlreadyExistsException")
"""

import base64
import functools
import json
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel

# What any operation may answer (ECR.md 3.1), modelled or not.
ALWAYS = {
    "AccessDeniedException",
    "ExpiredTokenException",
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "RequestEntityTooLargeException",
    "RequestTimeoutException",
    "SerializationException",
    "ServerException",
    "ServiceUnavailable",
    "ThrottlingException",
    "UnknownOperationException",
    "UnrecognizedClientException",
    "UnsupportedCommandException",
}


@functools.cache
def _service(service: str) -> Any:
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


def assert_modelled(service: str, operation: str, error_type: str) -> None:
    """Fail unless the operation's model lists the error, or every operation may answer it."""
    modelled = {shape.name for shape in _service(service).operation_model(operation).error_shapes}
    assert error_type in modelled | ALWAYS, f"{operation} of {service} does not model {error_type}"


def assert_answer(service: str, operation: str, body: bytes) -> None:
    """Fail unless a raw answer has only modelled members of the right types, all required ones, and no null."""
    shape = _service(service).operation_model(operation).output_shape
    value = json.loads(body)
    if shape is None:
        assert value == {}, f"{operation} answers nothing, not {value}"
    else:
        _assert_value(shape, value, operation)


def _assert_value(shape: Any, value: Any, path: str) -> None:
    assert value is not None, f"{path} is null: what is absent is left out"
    kind = shape.type_name
    if kind == "structure":
        _assert_structure(shape, value, path)
    elif kind == "list":
        assert isinstance(value, list), f"{path} is no list"
        for number, member in enumerate(value):
            _assert_value(shape.member, member, f"{path}[{number}]")
    elif kind == "map":
        assert isinstance(value, dict), f"{path} is no map"
        for key, member in value.items():
            _assert_value(shape.key, key, f"{path} key")
            _assert_value(shape.value, member, f"{path}.{key}")
    else:
        _assert_scalar(shape, value, path)


def _assert_structure(shape: Any, value: Any, path: str) -> None:
    assert isinstance(value, dict), f"{path} is no structure"
    unknown, missing = value.keys() - shape.members.keys(), set(shape.required_members) - value.keys()
    assert not unknown, f"{path} has members that the model does not know: {sorted(unknown)}"
    assert not missing, f"{path} lacks required members: {sorted(missing)}"
    for name, member in value.items():
        _assert_value(shape.members[name], member, f"{path}.{name}")


def _assert_scalar(shape: Any, value: Any, path: str) -> None:
    match shape.type_name:
        case "string":
            assert isinstance(value, str), f"{path} is no string"
            assert not shape.enum or value in shape.enum, f"{path} has a value that the model does not know: {value}"
            assert value or not path.endswith("nextToken"), f"{path} is empty: the last page has none"
        case "integer" | "long":
            assert type(value) is int, f"{path} is no integer"
        case "float" | "double" | "timestamp":
            assert type(value) in (int, float), f"{path} is no number"
        case "boolean":
            assert type(value) is bool, f"{path} is no boolean"
        case "blob":
            assert isinstance(value, str), f"{path} is no base64"
            base64.b64decode(value, validate=True)
        case kind:
            raise AssertionError(f"{path}: {kind} cannot be in an answer")
