"""What ECR's JSON schema says of lifecycle policies that do not fit it, member by member.

Source: ECR.md 2.3, "Messages", which are those of the schema validator that ECR runs; where that table is silent, the
words of the same validator. Pure.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from mirror.aws.errors import InvalidParameter, constraint

NO_SCHEMA: Final = "instance failed to match exactly one schema (matched 0 out of 2)"
INTEGER_MAX: Final = 2**31 - 1  # ECR's integers are Java's; bounds the arithmetic with seconds too

_TYPES: Final[Mapping[type, str]] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "array",
    dict: "object",
    type(None): "null",
}


def fault(text: str) -> InvalidParameter:
    """Say what is wrong with a policy text, in ECR's frame."""
    return constraint("LifecyclePolicyText", f"Lifecycle policy validation failure: {text}")


def members(value: object, required: Collection[str], optional: Collection[str] = ()) -> Mapping[str, Any]:
    """Read an object that has all of `required` and nothing beyond `optional`. Raises InvalidParameter."""
    _check_type(value, dict)
    assert isinstance(value, dict)
    missing = sorted(set(required) - value.keys())
    if missing:
        raise fault(f"object has missing required properties ({_listed(missing)})")
    unknown = sorted(value.keys() - set(required) - set(optional))
    if unknown:
        raise fault(f"object instance has properties which are not allowed by the schema: ({_listed(unknown)})")
    return value


def array(value: object, length_max: int = INTEGER_MAX) -> list[Any]:
    """Read an array of 1 to `length_max` elements. Raises InvalidParameter."""
    _check_type(value, list)
    assert isinstance(value, list)
    if not value:
        raise fault("array is too short: must have at least 1 elements but instance has 0 elements")
    if len(value) > length_max:
        raise fault(
            f"array is too long: must have at most {length_max} elements but instance has {len(value)} elements"
        )
    return value


def text(value: object) -> str:
    """Read a string. Raises InvalidParameter."""
    _check_type(value, str)
    assert isinstance(value, str)
    return value


def choice(value: object, allowed: Collection[str]) -> str:
    """Read one of the words `allowed`. Raises InvalidParameter."""
    word = text(value)
    if word not in allowed:
        raise fault(f"instance value ({word}) not found in enum :(possible values: {_listed(sorted(allowed))})")
    return word


def integer(value: object, minimum: int = 1) -> int:
    """Read a whole number from `minimum` on. Raises InvalidParameter."""
    _check_type(value, int)
    assert isinstance(value, int)
    if value < minimum:
        raise fault(f"numeric instance is lower than the required minimum (minimum: {minimum}, found: {value})")
    if value > INTEGER_MAX:
        raise fault(f"numeric instance is greater than the required maximum (maximum: {INTEGER_MAX}, found: {value})")
    return value


def _check_type(value: object, wanted: type) -> None:
    if type(value) is not wanted:  # not isinstance: true is no integer
        raise fault(
            f"instance type ({_TYPES[type(value)]}) does not match any allowed primitive type "
            f"(allowed: {_listed([_TYPES[wanted]])})"
        )


def _listed(words: list[str]) -> str:
    return json.dumps(words)
