"""Condition operators: how one value of a request is compared with one value of a policy.

Source: IAM guide, "IAM JSON policy elements: Condition operators". An operator is a row: the comparison, and whether
the condition asks for it or for its absence. A value that the operator cannot read is refused when the policy is put;
one of the request's that it cannot read equals nothing. Pure.
"""

import base64
import ipaddress
import operator as compare
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from mirror.rules.access.dates import parse_date
from mirror.rules.access.wildcards import Parts, compile_parts

Test = Callable[[str], bool]
Read = Callable[[str], Fraction | None]
Holds = Callable[[Fraction, Fraction], bool]
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,30}(?:\.[0-9]{1,30})?")
_ARN_PARTS: Final = 6


@dataclass(frozen=True, slots=True)
class Operator:
    """`build` makes a test of a policy's value, or raises ValueError. `templated`: the value may have variables."""

    build: Callable[[Parts], Test]
    negated: bool = False
    templated: bool = False


def _plain(parts: Parts) -> str:
    return "".join(text for text, _ in parts)


def _equals(parts: Parts) -> Test:
    wanted = _plain(parts)
    return lambda value: value == wanted


def _equals_folded(parts: Parts) -> Test:
    wanted = _plain(parts).casefold()
    return lambda value: value.casefold() == wanted


def _like(parts: Parts) -> Test:
    return compile_parts(parts).matches


def arn_segments(parts: Parts) -> list[list[tuple[str, bool]]]:
    """Part an ARN at its first five colons; those that a variable brought are no separators."""
    segments: list[list[tuple[str, bool]]] = [[]]
    for text, live in parts:
        first, *others = text.split(":", _ARN_PARTS - len(segments)) if live else [text]
        segments[-1].append((first, live))
        segments += [[(other, live)] for other in others]
    return segments


def _arn(parts: Parts) -> Test:
    """Compare part by part: a star in one part of an ARN does not reach into the next."""
    written = list(parts)
    if written == [("*", True)]:
        return lambda _: True
    patterns = [compile_parts(segment) for segment in arn_segments(written)]
    if len(patterns) != _ARN_PARTS:
        raise ValueError("is not an ARN")

    def test(value: str) -> bool:
        segments = value.split(":", _ARN_PARTS - 1)
        return len(segments) == _ARN_PARTS and all(
            pattern.matches(segment) for pattern, segment in zip(patterns, segments, strict=True)
        )

    return test


def _bool(parts: Parts) -> Test:
    wanted = _plain(parts).lower()
    if wanted not in ("true", "false"):
        raise ValueError("is neither true nor false")
    return lambda value: value.lower() == wanted


def _binary(parts: Parts) -> Test:
    try:
        wanted = base64.b64decode(_plain(parts), validate=True)
    except ValueError:
        raise ValueError("is not base64") from None
    return lambda value: value.encode() == wanted


def _address(parts: Parts) -> Test:
    """An IPv4 address is the same when a socket of IPv6 gives it, `::ffff:10.0.0.1`."""
    try:
        network = ipaddress.ip_network(_plain(parts), strict=False)
    except ValueError:
        raise ValueError("is neither an address nor a network") from None

    def test(value: str) -> bool:
        try:
            address = ipaddress.ip_address(value)
        except ValueError:
            return False
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return address in network or (mapped is not None and mapped in network)

    return test


def parse_number(text: str) -> Fraction | None:
    """Read a decimal number; None for anything else."""
    return Fraction(text) if _NUMBER.fullmatch(text) else None


def _ordered(read: Read, holds: Holds, kind: str) -> Callable[[Parts], Test]:
    def build(parts: Parts) -> Test:
        wanted = read(_plain(parts))
        if wanted is None:
            raise ValueError(f"is not a {kind}")

        def test(value: str) -> bool:
            given = read(value)
            return given is not None and holds(given, wanted)

        return test

    return build


def _family(name: str, read: Read, kind: str) -> dict[str, Operator]:
    equal = _ordered(read, compare.eq, kind)
    return {
        f"{name}Equals": Operator(equal),
        f"{name}NotEquals": Operator(equal, negated=True),
        f"{name}LessThan": Operator(_ordered(read, compare.lt, kind)),
        f"{name}LessThanEquals": Operator(_ordered(read, compare.le, kind)),
        f"{name}GreaterThan": Operator(_ordered(read, compare.gt, kind)),
        f"{name}GreaterThanEquals": Operator(_ordered(read, compare.ge, kind)),
    }


OPERATORS: Final[Mapping[str, Operator]] = {
    "StringEquals": Operator(_equals, templated=True),
    "StringNotEquals": Operator(_equals, negated=True, templated=True),
    "StringEqualsIgnoreCase": Operator(_equals_folded, templated=True),
    "StringNotEqualsIgnoreCase": Operator(_equals_folded, negated=True, templated=True),
    "StringLike": Operator(_like, templated=True),
    "StringNotLike": Operator(_like, negated=True, templated=True),
    **_family("Numeric", parse_number, "number"),
    **_family("Date", parse_date, "date"),
    "Bool": Operator(_bool),
    "BinaryEquals": Operator(_binary),
    "IpAddress": Operator(_address),
    "NotIpAddress": Operator(_address, negated=True),
    "ArnEquals": Operator(_arn, templated=True),
    "ArnNotEquals": Operator(_arn, negated=True, templated=True),
    "ArnLike": Operator(_arn, templated=True),
    "ArnNotLike": Operator(_arn, negated=True, templated=True),
}
