"""How policies are given back: not as they were sent, but printed again.

Source: ECR guide, samples of SetRepositoryPolicy and PutRegistryPolicy (ECR.md 2.1, "Echo"): the default style of the
Jackson library, keys in the order in which they were sent. Pure.
"""

import json
from typing import Final

from mirror.rules.access.document import Json, Number, read_document

_INDENT: Final = "  "


def pretty(text: str) -> str:
    """Print a JSON text in Jackson's pretty style. Raises PolicyInvalid if it is not JSON."""
    return _pretty(read_document(text), "\n")


def compact(text: str) -> str:
    """Print a JSON text without any space. Raises PolicyInvalid if it is not JSON."""
    return _compact(read_document(text))


def _pretty(value: Json, newline: str) -> str:
    """`newline` begins a line at the value's level. Arrays stay on the line, so they add no level."""
    if isinstance(value, dict):
        inner = newline + _INDENT
        members = [f"{_scalar(key)} : {_pretty(member, inner)}" for key, member in value.items()]
        return "{" + inner + f",{inner}".join(members) + newline + "}" if members else "{ }"
    if isinstance(value, list):
        return f"[ {', '.join([_pretty(item, newline) for item in value])} ]" if value else "[ ]"
    return _scalar(value)


def _compact(value: Json) -> str:
    if isinstance(value, dict):
        return "{" + ",".join([f"{_scalar(key)}:{_compact(member)}" for key, member in value.items()]) + "}"
    if isinstance(value, list):
        return "[" + ",".join([_compact(item) for item in value]) + "]"
    return _scalar(value)


def _scalar(value: str | bool | None) -> str:
    return str(value) if isinstance(value, Number) else json.dumps(value, ensure_ascii=False)
