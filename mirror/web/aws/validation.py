"""Validation: an input is compiled once from the service model, then every call is checked by that.

Source: botocore's service models, and ECR.md 3.1: SDKs check required members, types and minimal lengths; patterns,
enums and maxima are the server's. Unknown members are ignored and null ones are absent, as with AWS. Lengths come
before patterns, so that no pattern sees more than its maximum; the one pattern that could take exponential time is
written in another way.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from mirror.aws.errors import SerializationFailed
from mirror.web.aws.faults import Fault, Kind, Style, refusal

# Takes a value, its path and the list of faults; returns the decoded value. Raises SerializationFailed for a type.
Check = Callable[[Any, str, list[Fault]], Any]

_BITS: Final = {"integer": 31, "long": 63}
_CONVERTED: Final = {"string": "a String", "integer": "an Integer", "long": "a Long", "boolean": "a Boolean"}

# The same language without a choice: of (x?y+)* with y within x, every way to cut a run of y is tried.
_LINEAR: Final[Mapping[str, str]] = {
    r"^[a-z0-9*](?:[._\-/a-z0-9*]?[a-z0-9*]+)*$": r"[a-z0-9*](?:[._\-/]?[a-z0-9*])*",
}
_SPACES: Final = r"\u0020\u00A0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000"  # Unicode's category Z


class Input:
    """What an operation takes."""

    __slots__ = ("_check", "_style")

    def __init__(self, shape: Any, style: Style) -> None:
        """Compile botocore's input shape; None for an operation that takes nothing."""
        self._check = _structure(shape) if shape is not None else _nothing
        self._style = style

    def read(self, value: object) -> dict[str, Any]:
        """Check a decoded input and decode its blobs.

        Raises SerializationFailed for a value of another type; else, by the operation's style, InvalidParameter,
        ValidationFailed or IamValidationError.
        """
        faults: list[Fault] = []
        read: dict[str, Any] = self._check(value, "", faults)
        if faults:
            raise refusal(self._style, faults)
        return read


def compile_shape(shape: Any) -> Check:
    """Compile any shape of an input. Raises KeyError for a type that no input has yet."""
    return _COMPILERS[shape.type_name](shape)


def compile_pattern(text: str) -> re.Pattern[str]:
    """Compile a pattern of a model, to be matched in full. Classes are ASCII, as Java's, but for those of Unicode."""
    text = _LINEAR.get(text, text)
    if r"\p{" not in text:
        return re.compile(text, re.ASCII)
    return re.compile(text.replace(r"\p{L}", r"\w").replace(r"\p{N}", "").replace(r"\p{Z}", _SPACES))


def _structure(shape: Any) -> Check:
    members = {name: (compile_shape(member), _lower(name)) for name, member in shape.members.items()}
    required = tuple(shape.required_members)

    def check(value: Any, path: str, faults: list[Fault]) -> dict[str, Any]:
        if type(value) is not dict:
            raise SerializationFailed(_unexpected(value))
        prefix = f"{path}." if path else ""
        faults.extend(
            Fault(prefix + _lower(name), "null", "Member must not be null")
            for name in required
            if value.get(name) is None
        )
        return {
            name: member(value[name], prefix + said, faults)
            for name, (member, said) in members.items()
            if value.get(name) is not None
        }

    return check


def _list(shape: Any) -> Check:
    check_member = compile_shape(shape.member)
    check_length = _length(shape)

    def check(value: Any, path: str, faults: list[Fault]) -> list[Any]:
        if type(value) is not list:
            raise SerializationFailed(_unexpected(value))
        if not check_length(value, len(value), path, faults):
            return value
        read = []
        for number, member in enumerate(value, 1):
            at = f"{path}.{number}.member"
            if member is None:
                faults.append(Fault(at, "null", "Member must not be null"))
            else:
                read.append(check_member(member, at, faults))
        return read

    return check


def _map(shape: Any) -> Check:
    check_key, check_value = compile_shape(shape.key), compile_shape(shape.value)
    check_length = _length(shape)

    def check(value: Any, path: str, faults: list[Fault]) -> dict[str, Any]:
        if type(value) is not dict:
            raise SerializationFailed(_unexpected(value))
        if not check_length(value, len(value), path, faults):
            return value
        return {
            check_key(key, f"{path}.key", faults): check_value(member, f"{path}.{key}.member", faults)
            for key, member in value.items()
            if member is not None
        }

    return check


def _string(shape: Any) -> Check:
    check_length = _length(shape)
    enum = frozenset(shape.enum)
    allowed = f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"
    text = shape.metadata.get("pattern")
    pattern = compile_pattern(text) if text else None
    secret = bool(shape.metadata.get("sensitive"))

    def check(value: Any, path: str, faults: list[Fault]) -> str:
        if type(value) is not str:
            raise SerializationFailed(_unconverted(value, "string"))
        if enum and value not in enum:
            faults.append(Fault(path, "enum", allowed, value, secret))
        elif check_length(value, len(value), path, faults) and pattern and not pattern.fullmatch(value):
            rule = f"Member must satisfy regular expression pattern: {text}"
            faults.append(Fault(path, "pattern", rule, value, secret))
        return value

    return check


def _number(shape: Any) -> Check:
    name = shape.type_name
    bound = 1 << _BITS[name]
    check_value = _bounds(shape, "value", "value")

    def check(value: Any, path: str, faults: list[Fault]) -> int:
        # A number is a number: 5.0 is 5, 5.5 is not.
        whole = type(value) is int or (type(value) is float and value.is_integer())
        if not whole or not -bound <= value < bound:
            raise SerializationFailed(_unconverted(value, name))
        check_value(int(value), int(value), path, faults)
        return int(value)

    return check


def _boolean(_: Any) -> Check:
    def check(value: Any, path: str, faults: list[Fault]) -> bool:  # noqa: ARG001 - as every check
        if type(value) is not bool:
            raise SerializationFailed(_unconverted(value, "boolean"))
        return value

    return check


def _timestamp(_: Any) -> Check:
    def check(value: Any, path: str, faults: list[Fault]) -> float:  # noqa: ARG001 - as every check
        if type(value) not in (int, float):
            raise SerializationFailed(_unconverted(value, "timestamp"))
        return float(value)

    return check


def _blob(shape: Any) -> Check:
    check_length = _length(shape)
    # Four characters for three bytes: what is longer is not decoded to learn that.
    chars_max = (shape.metadata["max"] + 2) // 3 * 4 if "max" in shape.metadata else None

    def check(value: Any, path: str, faults: list[Fault]) -> bytes:
        if type(value) is not str:
            raise SerializationFailed(_unconverted(value, "blob"))
        if chars_max is not None and len(value) > chars_max:
            check_length(None, len(value) // 4 * 3, path, faults)
            return b""
        try:
            data = base64.b64decode(value.encode("ascii"), validate=True)
        except (binascii.Error, UnicodeEncodeError):
            raise SerializationFailed("Invalid base64 data") from None
        check_length(None, len(data), path, faults)
        return data

    return check


_COMPILERS: Final[Mapping[str, Callable[[Any], Check]]] = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
    "integer": _number,
    "long": _number,
    "boolean": _boolean,
    "timestamp": _timestamp,
    "blob": _blob,
}


def _length(shape: Any) -> Callable[[Any, int, str, list[Fault]], bool]:
    return _bounds(shape, "length", "length")


def _bounds(shape: Any, kind: Kind, word: str) -> Callable[[Any, int, str, list[Fault]], bool]:
    """Compile the check of a length or a value; it says whether all is well."""
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    secret = bool(shape.metadata.get("sensitive"))

    def check(value: Any, measure: int, path: str, faults: list[Fault]) -> bool:
        if least is not None and measure < least:
            rule = f"Member must have {word} greater than or equal to {least}"
        elif most is not None and measure > most:
            rule = f"Member must have {word} less than or equal to {most}"
        else:
            return True
        faults.append(Fault(path, kind, rule, value, secret))
        return False

    return check


def _nothing(value: Any, _: str, __: list[Fault]) -> dict[str, Any]:
    if type(value) is not dict:
        raise SerializationFailed(_unexpected(value))
    return {}


def _lower(name: str) -> str:
    """Say a member as AWS does in texts: `Key` is `key` there."""
    return name[:1].lower() + name[1:]


def _unconverted(value: object, wanted: str) -> str:
    kinds = {str: "STRING_VALUE", int: "NUMBER_VALUE", float: "NUMBER_VALUE", bool: f"{value}".upper() + "_VALUE"}
    kind = kinds.get(type(value))
    return f"{kind} can not be converted to {_CONVERTED.get(wanted, wanted)}" if kind else _unexpected(value)


def _unexpected(value: object) -> str:
    if isinstance(value, dict):
        return "Start of structure or map found where not expected."
    if isinstance(value, list):
        return "Start of list found where not expected"
    return "Unexpected field type"
