"""Policy variables: `${aws:username}` in a resource or a condition's value stands for what the request says.

Source: IAM guide, "IAM policy elements: Variables and tags": version 2012-10-17 only, keys of one value only,
`${key, 'default'}`, and `${*}`, `${?}`, `${$}` for the characters themselves. What a variable stands for is literal: a
user called `*` is not everybody. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mirror.rules.access.faults import PolicyInvalid
from mirror.rules.access.keys import is_single, is_volatile, read_key

Facts = Mapping[str, Sequence[str]]  # by lower-case condition key; a key without values is absent
Filled = tuple[tuple[str, bool], ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A key, and what to take where the request has no value for it."""

    key: str
    default: str | None


@dataclass(frozen=True, slots=True)
class Template:
    """A text with variables. Written parts say whether their `*` and `?` are wildcards."""

    parts: tuple[tuple[str, bool] | Variable, ...]

    @property
    def fixed(self) -> bool:
        return not any(isinstance(part, Variable) for part in self.parts)

    @property
    def volatile(self) -> bool:
        return any(isinstance(part, Variable) and is_volatile(part.key) for part in self.parts)

    def fill(self, facts: Facts) -> Filled | None:
        """Put the request's values in; None if it has none for a variable without default."""
        filled: list[tuple[str, bool]] = []
        for part in self.parts:
            if not isinstance(part, Variable):
                filled.append(part)
                continue
            values = facts.get(part.key) or (() if part.default is None else (part.default,))
            if len(values) != 1:
                return None
            filled.append((values[0], False))
        return tuple(filled)

    def sample(self) -> str:
        """Return the text with `x` for each variable: enough to check its form."""
        return "".join("x" if isinstance(part, Variable) else part[0] for part in self.parts)


def read_template(text: str, path: str, *, variables: bool) -> Template:
    """Read a text; without `variables` (version 2008-10-17) it has none. Raises PolicyInvalid for an unknown one."""
    if not variables or "${" not in text:
        return Template(((text, True),))
    parts: list[tuple[str, bool] | Variable] = []
    before, *rest = text.split("${")
    parts.append((before, True))
    for piece in rest:
        inner, closed, after = piece.partition("}")
        if not closed:
            raise PolicyInvalid("a policy variable without its closing brace", path)
        parts.append((inner, False) if inner in ("*", "?", "$") else _variable(inner, path))
        parts.append((after, True))
    return Template(tuple(part for part in parts if isinstance(part, Variable) or part[0]))


def _variable(inner: str, path: str) -> Variable:
    name, comma, rest = inner.partition(",")
    key = read_key(name.strip())
    if key is None or not is_single(key):
        raise PolicyInvalid(f"unknown policy variable {inner!r}", path)
    if not comma:
        return Variable(key, None)
    quoted = rest.strip()
    if len(quoted) < 2 or quoted[0] != "'" or quoted[-1] != "'":
        raise PolicyInvalid("the default of a policy variable stands in single quotes", path)
    return Variable(key, quoted[1:-1])
