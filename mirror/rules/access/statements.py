"""Policies ready to be asked: everything that can be worked out when a policy is put is worked out then.

Source: IAM guide, "IAM JSON policy elements reference". Built by `parse_policy`. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from mirror.aws.principals import Principal
from mirror.rules.access.conditions import Condition
from mirror.rules.access.variables import Facts, Template
from mirror.rules.access.wildcards import Pattern, compile_parts

PolicyKind = Literal["identity", "repository", "public-repository", "registry-v1", "registry-v2", "trust"]

# How a statement names a principal: not at all; by its account, which may then decide for itself; in person.
NOT_NAMED: Final = 0
BY_ACCOUNT: Final = 1
IN_PERSON: Final = 2


@dataclass(frozen=True, slots=True)
class Principals:
    """Principal, or NotPrincipal when `negated`. `services` are kept as they were written; no caller here is one."""

    everyone: bool
    accounts: frozenset[str]
    arns: frozenset[str]
    services: frozenset[str]
    negated: bool

    def names(self, principal: Principal, arns: Sequence[str], *, allow: bool) -> int:
        """Say how this names a principal, whose own names are `arns`. "Everybody" names each one in person.

        Nobody in particular is named by "everybody" only: an Allow for all but somebody does not open the door to him.
        """
        if self.everyone or not self.arns.isdisjoint(arns):
            named = IN_PERSON
        else:
            named = BY_ACCOUNT if principal.account in self.accounts else NOT_NAMED
        if not self.negated:
            return named
        if named == BY_ACCOUNT and not allow and principal.kind != "root" and self._names_some_of(principal.account):
            # IAM guide, "NotPrincipal": the account stands beside those of it who are exempt, and exempts no others.
            named = NOT_NAMED
        return NOT_NAMED if named or (allow and principal.kind == "anonymous") else IN_PERSON

    def _names_some_of(self, account: str) -> bool:
        return any(arn.split(":", 5)[4] == account for arn in self.arns)


@dataclass(frozen=True, slots=True)
class Resources:
    """Resource, or NotResource when `negated`. `doubt`: the answer of no match where a variable was not to be had."""

    everything: bool
    patterns: tuple[Pattern, ...] = ()
    templates: tuple[Template, ...] = ()
    negated: bool = False
    doubt: bool = False
    volatile: bool = False

    def match(self, resource: str, facts: Facts) -> bool:
        """Tell whether a statement is about `resource`; `facts` are read where there are templates only."""
        filled = [template.fill(facts) for template in self.templates]
        matched = any(pattern.matches(resource) for pattern in self.patterns) or any(
            compile_parts(parts).matches(resource) for parts in filled if parts is not None
        )
        if matched:
            return not self.negated
        return self.doubt if None in filled else self.negated


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. `actions` are those known here that it is about, Action or NotAction; None: of every principal."""

    allow: bool
    actions: frozenset[str]
    principals: Principals | None
    resources: Resources
    conditions: tuple[Condition, ...]
    volatile: bool


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy; `by_action` gives the statements that are about an action."""

    kind: PolicyKind
    statements: tuple[Statement, ...]
    by_action: Mapping[str, tuple[Statement, ...]] = field(compare=False, repr=False)


def policy_of(kind: PolicyKind, statements: Sequence[Statement]) -> Policy:
    """Index statements by action. Actions with the same statements share one tuple: `*` has a hundred of them."""
    shared: dict[tuple[int, ...], tuple[Statement, ...]] = {}
    numbers: dict[str, list[int]] = {}
    for number, statement in enumerate(statements):
        for action in statement.actions:
            numbers.setdefault(action, []).append(number)
    by_action = {}
    for action, places in numbers.items():
        key = tuple(places)
        by_action[action] = shared.setdefault(key, tuple(statements[place] for place in key))
    return Policy(kind, tuple(statements), by_action)
