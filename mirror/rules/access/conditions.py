"""The Condition of a statement: all of its comparisons must hold.

Source: IAM guide, "Condition", "Condition operators" and "Multivalued context keys". Several values of a policy are
alternatives (of a negated operator: none may match); several keys and operators must hold together. A key that the
request lacks satisfies negated operators, `...IfExists` and `ForAllValues:`, and nothing else. Pure.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from mirror.rules.access.document import Number
from mirror.rules.access.faults import PolicyInvalid
from mirror.rules.access.keys import is_volatile, read_key
from mirror.rules.access.operators import OPERATORS, Operator, Test
from mirror.rules.access.variables import Facts, Template, read_template

Quantifier = Literal["", "ForAllValues", "ForAnyValue"]
_IF_EXISTS: Final = "IfExists"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One operator on one key. `doubt`: the answer of no match where a variable of a value was not to be had."""

    key: str
    operator: Operator
    every: bool
    missing: bool
    doubt: bool
    tests: tuple[Test, ...]
    templates: tuple[Template, ...]
    volatile: bool

    def holds(self, facts: Facts) -> bool:
        values = facts.get(self.key)
        if not values:
            return self.missing
        tests, negated = self.tests, self.operator.negated
        unmatched = negated
        if self.templates:
            filled = [template.fill(facts) for template in self.templates]
            tests = (*tests, *[self.operator.build(parts) for parts in filled if parts is not None])
            unmatched = self.doubt if None in filled else negated
        return (all if self.every else any)(
            not negated if any(test(value) for test in tests) else unmatched for value in values
        )


@dataclass(frozen=True, slots=True)
class Presence:
    """The operator Null: `wanted` are the acceptable answers to "is the key absent?"."""

    key: str
    wanted: frozenset[bool]
    volatile: bool

    def holds(self, facts: Facts) -> bool:
        return (not facts.get(self.key)) in self.wanted


Condition = Comparison | Presence


@dataclass(frozen=True, slots=True)
class _Word:
    """An operator as it is written: `ForAnyValue:StringLikeIfExists`."""

    quantifier: Quantifier
    operator: Operator | None
    if_exists: bool

    @property
    def missing(self) -> bool:
        if self.if_exists or self.quantifier == "ForAllValues":
            return True
        return self.operator is not None and self.operator.negated and not self.quantifier

    @property
    def every(self) -> bool:
        negated = self.operator is not None and self.operator.negated
        return self.quantifier == "ForAllValues" or (negated and not self.quantifier)


def read_conditions(value: Any, path: str, *, allow: bool, variables: bool) -> tuple[Condition, ...]:
    """Read a Condition element; raises PolicyInvalid for every operator, key or value that is not known.

    `allow` is the statement's effect: where a negated comparison cannot be made, an Allow does not apply, a Deny does.
    """
    conditions: list[Condition] = []
    for written, block in _object(value, path).items():
        word = _read_word(written, f"{path}.{written}")
        members = _object(block, f"{path}.{written}")
        if not members:
            raise PolicyInvalid("a condition operator without keys", f"{path}.{written}")
        for name, values in members.items():
            place = f"{path}.{written}.{name}"
            key = read_key(name)
            if key is None:
                raise PolicyInvalid(f"unknown condition key {name!r}", place)
            texts = _texts(values, place)
            if word.operator is None:
                conditions.append(_presence(key, texts, place))
            else:
                templates = [
                    read_template(text, place, variables=variables and word.operator.templated) for text in texts
                ]
                conditions.append(_comparison(key, word, word.operator, templates, place, not allow))
    return tuple(conditions)


def _read_word(text: str, path: str) -> _Word:
    head, colon, rest = text.partition(":")
    quantifiers: dict[str, Quantifier] = {"ForAllValues": "ForAllValues", "ForAnyValue": "ForAnyValue"}
    quantifier: Quantifier = quantifiers.get(head, "") if colon else ""
    name = rest if quantifier else text
    if name == "Null" and not quantifier:
        return _Word("", None, if_exists=False)
    operator = OPERATORS.get(name.removesuffix(_IF_EXISTS))
    if operator is None:
        raise PolicyInvalid(f"unknown condition operator {text!r}", path)
    return _Word(quantifier, operator, name.endswith(_IF_EXISTS))


def _comparison(
    key: str, word: _Word, operator: Operator, templates: list[Template], path: str, doubt: bool
) -> Comparison:
    tests = [_build(operator.build, template, path) for template in templates]
    moving = tuple(template for template in templates if not template.fixed)
    return Comparison(
        key,
        operator,
        every=word.every,
        missing=word.missing,
        doubt=operator.negated and doubt,
        tests=tuple(test for test, template in zip(tests, templates, strict=True) if template.fixed),
        templates=moving,
        volatile=is_volatile(key) or any(template.volatile for template in moving),
    )


def _build(build: Callable[[Any], Test], template: Template, path: str) -> Test:
    """Build the test of a value; of one with variables from a sample, to know that its form is right."""
    parts = template.fill({}) if template.fixed else ((template.sample(), True),)
    try:
        return build(parts)
    except ValueError as error:
        raise PolicyInvalid(f"the value {template.sample()!r} {error}", path) from None


def _presence(key: str, texts: list[str], path: str) -> Presence:
    if not {text.lower() for text in texts} <= {"true", "false"}:
        raise PolicyInvalid("Null takes true or false", path)
    return Presence(key, frozenset(text.lower() == "true" for text in texts), is_volatile(key))


def _object(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise PolicyInvalid("an object is wanted", path)
    return value


def _texts(value: Any, path: str) -> list[str]:
    values = value if isinstance(value, list) else [value]
    if not values:
        raise PolicyInvalid("a condition key without values", path)
    return [_text(item, path) for item in values]


def _text(value: Any, path: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Number | str):
        return str(value)
    raise PolicyInvalid("a text, a number, true or false is wanted", path)
