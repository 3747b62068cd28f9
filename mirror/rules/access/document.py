"""JSON as policies are written: strict, in its order, its numbers as they were written.

Source: RFC 8259; the bounds are ours. A key given twice is refused: two readers of such a document see two policies
(RELIABILITY finding 7). Pure.
"""

import json
from typing import Any, Final

from mirror.rules.access.faults import PolicyInvalid

DEPTH_MAX: Final = 32  # a policy is five deep; deeper ones are for breaking recursive readers

Json = dict[str, Any] | list[Any] | str | bool | None


class Number(str):
    """A JSON number: its text."""

    __slots__ = ()


def read_document(text: str) -> Json:
    """Read JSON; numbers come as Number. Raises PolicyInvalid for anything else, and for a key given twice."""
    try:
        document: Json = json.loads(
            text, object_pairs_hook=_object, parse_int=Number, parse_float=Number, parse_constant=_constant
        )
        text.encode()
    except RecursionError:
        raise PolicyInvalid(f"more than {DEPTH_MAX} levels") from None
    except PolicyInvalid:
        raise
    except ValueError as error:
        raise PolicyInvalid(f"not JSON: {error}") from None
    _check(document)
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise PolicyInvalid(f"the key {twice!r} is given twice")
    return made


def _constant(text: str) -> None:
    raise PolicyInvalid(f"not JSON: {text}")


def _check(document: Json) -> None:
    """Refuse what is too deep, and halves of surrogate pairs, which nothing can write again."""
    level: list[Any] = [document]
    for _ in range(DEPTH_MAX):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inner += value.keys()
                inner += value.values()
            elif isinstance(value, list):
                inner += value
            elif isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
                raise PolicyInvalid("half of a surrogate pair")
        if not inner:
            return
        level = inner
    raise PolicyInvalid(f"more than {DEPTH_MAX} levels")
