"""Forms: a call in the AWS Query protocol, as fields, becomes the values that the model describes.

Source: smithy.io, "AWS Query protocol", request serialization: `Tags.member.1.Key=a` for lists, `.entry.1.key` for
maps; numbers, booleans and blobs are text. Pure.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from mirror.aws.errors import SerializationFailed

FIELDS_MAX: Final = 2_000  # a thousand pairs: no operation of IAM takes so many
DEPTH_MAX: Final = 16  # names in a field's path; the models' deepest have seven
_INDEX: Final = re.compile(r"[1-9][0-9]{0,4}")
_NUMBER: Final = re.compile(r"-?[0-9]{1,19}")
_BOOLEANS: Final = {"true": True, "false": False}

# A field's value, or what stands below its name.
Tree = dict[str, "str | Tree"]


def read_fields(query: str, body: bytes) -> dict[str, str]:
    """Read the fields of a query and a body; of equal ones the last counts. Raises SerializationFailed."""
    fields: dict[str, str] = {}
    try:
        for text in (query, body.decode()):
            fields.update(parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict"))
    except ValueError:
        raise SerializationFailed("The request's fields cannot be read") from None
    return fields


def decode(shape: Any, fields: Mapping[str, str]) -> dict[str, Any]:
    """Decode fields by an operation's input shape (None: it takes nothing). Raises SerializationFailed."""
    tree: Tree = {}
    for path, value in fields.items():
        _plant(tree, path, value)
    return _structure(shape, tree) if shape is not None else {}


def _plant(tree: Tree, path: str, value: str) -> None:
    *names, last = path.split(".", DEPTH_MAX)
    for name in names:
        below = tree.setdefault(name, {})
        if isinstance(below, str):
            raise SerializationFailed(f"'{path[:100]}' goes on below a value")
        tree = below
    if isinstance(tree.get(last), dict):
        raise SerializationFailed(f"'{path[:100]}' is a value that others go on below")
    tree[last] = value


def _decode(shape: Any, node: "str | Tree", name: str) -> Any:
    branch = _BRANCHES.get(shape.type_name)
    if branch is not None:
        # An empty list or structure is written as a field without a value.
        if isinstance(node, str) and node:
            raise SerializationFailed(f"'{name}' is not a value of its own")
        return branch(shape, {} if isinstance(node, str) else node)
    if not isinstance(node, str):
        raise SerializationFailed(f"'{name}' is a value")
    return _scalar(shape.type_name, node, name)


def _structure(shape: Any, tree: Tree) -> dict[str, Any]:
    return {name: _decode(member, tree[name], name) for name, member in shape.members.items() if name in tree}


def _list(shape: Any, tree: Tree) -> list[Any]:
    return [_decode(shape.member, node, "member") for node in _numbered(tree, "member")]


def _map(shape: Any, tree: Tree) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for entry in _numbered(tree, "entry"):
        key = entry.get("key") if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or not isinstance(key, str):
            raise SerializationFailed("An entry of a map has a key and a value")
        entries[key] = _decode(shape.value, entry.get("value", ""), "value")
    return entries


_BRANCHES: Final[Mapping[str, Callable[[Any, Tree], Any]]] = {"structure": _structure, "list": _list, "map": _map}


def _numbered(tree: Tree, word: str) -> list["str | Tree"]:
    """Return what is numbered below `word`, in the order of the numbers, which may have gaps."""
    below = tree.get(word, {})
    if isinstance(below, str) or not all(_INDEX.fullmatch(index) for index in below):
        raise SerializationFailed(f"A list is written as .{word}.1, .{word}.2 and so on")
    return [below[index] for index in sorted(below, key=int)]


def _scalar(kind: str, text: str, name: str) -> Any:
    if kind in ("integer", "long"):
        if not _NUMBER.fullmatch(text):
            raise SerializationFailed(f"'{name}' is not a number")
        return int(text)
    if kind == "boolean":
        if text.lower() not in _BOOLEANS:
            raise SerializationFailed(f"'{name}' is neither true nor false")
        return _BOOLEANS[text.lower()]
    return text
