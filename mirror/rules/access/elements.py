"""The elements that say who, what and on what: Principal, Action, Resource and their Not forms.

Source: IAM guide, "IAM JSON policy elements reference"; ECR.md 2.1 and 2.2. Each reader takes the element's value and
its path in the document and raises PolicyInvalid for what it does not know. Pure.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from mirror.aws.arns import ACCOUNT
from mirror.rules.access.actions import (
    ECR_ACTIONS,
    ECR_PUBLIC_ACTIONS,
    KNOWN,
    REGISTRY_V1_ACTIONS,
    TRUST_ACTIONS,
    matching,
)
from mirror.rules.access.document import Number
from mirror.rules.access.faults import PolicyInvalid
from mirror.rules.access.statements import PolicyKind, Principals, Resources
from mirror.rules.access.variables import Template, read_template
from mirror.rules.access.wildcards import compile_parts

# The actions that a kind of policy can be about: NotAction means the others of these.
SCOPES: Final[Mapping[PolicyKind, frozenset[str]]] = {
    "identity": KNOWN,
    "repository": ECR_ACTIONS,
    "public-repository": ECR_PUBLIC_ACTIONS,
    "registry-v1": REGISTRY_V1_ACTIONS,
    "registry-v2": ECR_ACTIONS,
    "trust": TRUST_ACTIONS,
}
REGISTRY_KINDS: Final = frozenset({"registry-v1", "registry-v2"})
_OWN_SERVICES: Final = frozenset({"ecr", "ecr-public"})  # a name in them that is not known is a slip of the pen
_NARROW: Final = frozenset({"registry-v1", "trust"})  # kinds in which a wildcard may not reach beyond the scope
_ACTION: Final = re.compile(r"([A-Za-z0-9-]+):([A-Za-z0-9*?]+)")
_WHO: Final = r"[A-Za-z0-9+=,.@_-]+"
_ARN: Final = re.compile(
    rf"arn:aws:iam::([0-9]{{12}}):(?:(root)|(?:user|role)/(?:[!-)+-.0->@-~]+/)*{_WHO})"
    rf"|arn:aws:sts::[0-9]{{12}}:assumed-role/{_WHO}/{_WHO}"
)
_SERVICE: Final = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+")
_FEDERATED: Final = re.compile(r"[A-Za-z0-9:/+=,.@_-]+")
_CANONICAL: Final = re.compile(r"[0-9a-f]{64}")
_ARN_PARTS: Final = 6
_SETS_MAX: Final = 1_000  # of actions, at some 5 KiB each


def read_actions(value: Any, path: str, kind: PolicyKind, *, negated: bool) -> frozenset[str]:
    """Read Action or NotAction: the known actions that the statement is about."""
    named: set[str] = set()
    for text, place in texts(value, path):
        named |= _action(text, place, kind)
    return _shared(SCOPES[kind] - named if negated else frozenset(named & SCOPES[kind]))


@lru_cache(_SETS_MAX)
def _shared(actions: frozenset[str]) -> frozenset[str]:
    """Return one object for equal sets: a policy may say `*` two hundred times, and policies say much the same."""
    return actions


def _action(text: str, path: str, kind: PolicyKind) -> frozenset[str]:
    match = _ACTION.fullmatch(text)
    if match is None and text != "*":
        raise PolicyInvalid(f"{text!r} is not an action, `service:Name` or `*`", path)
    found, scope = matching(text), SCOPES[kind]
    if kind == "identity":
        # Real policies speak of other services too: those words do nothing here.
        if not found and match is not None and match[1].lower() in _OWN_SERVICES:
            raise PolicyInvalid(f"unknown action {text!r}", path)
    elif not found & scope or (kind in _NARROW and not found <= scope):
        raise PolicyInvalid(f"{text!r} is no action of a {kind} policy", path)
    return found


def read_principals(value: Any, path: str, *, negated: bool) -> Principals:
    """Read Principal or NotPrincipal. An account's id and its root's ARN mean the whole account."""
    if value == "*":
        return Principals(True, frozenset(), frozenset(), frozenset(), negated)
    if not isinstance(value, dict) or not value:
        raise PolicyInvalid('"*" or an object of principals is wanted', path)
    everyone, accounts, arns, services = False, set(), set(), set()
    for kind, names in value.items():
        for text, place in texts(names, f"{path}.{kind}"):
            _check_principal(kind, text, place)
            match = _ARN.fullmatch(text)
            if kind == "Service":
                services.add(text)
            elif kind != "AWS":
                continue
            elif text == "*":
                everyone = True
            elif match is None or match[2]:
                accounts.add(match[1] if match else text)
            else:
                arns.add(text)
    return Principals(everyone, frozenset(accounts), frozenset(arns), frozenset(services), negated)


def _check_principal(kind: str, text: str, path: str) -> None:
    grammars = {"Service": _SERVICE, "Federated": _FEDERATED, "CanonicalUser": _CANONICAL}
    if kind == "AWS":
        known = text == "*" or bool(ACCOUNT.fullmatch(text) or _ARN.fullmatch(text))
    elif kind in grammars:
        known = bool(grammars[kind].fullmatch(text))
    else:
        raise PolicyInvalid(f"unknown kind of principal {kind!r}", path)
    if not known:
        raise PolicyInvalid(f"{text!r} is not a principal", path)


def read_resources(
    value: Any, path: str, kind: PolicyKind, *, negated: bool, allow: bool, variables: bool
) -> Resources:
    """Read Resource or NotResource. In a repository's policy it is checked and then ignored: it means the repository.

    Where NotResource has a variable that the request lacks, an Allow does not apply, and a Deny does.
    """
    templates = [read_template(text, place, variables=variables) for text, place in texts(value, path)]
    for template in templates:
        _check_resource(template, path, kind)
    if kind in ("repository", "public-repository"):
        return Resources(True)
    fixed = [template for template in templates if template.fixed]
    moving = tuple(template for template in templates if not template.fixed)
    return Resources(
        everything=not negated and any(template.parts == (("*", True),) for template in fixed),
        patterns=tuple(compile_parts(parts) for template in fixed if (parts := template.fill({})) is not None),
        templates=moving,
        negated=negated,
        doubt=negated and not allow,
        volatile=any(template.volatile for template in moving),
    )


def _check_resource(template: Template, path: str, kind: PolicyKind) -> None:
    text = template.sample()
    if text == "*":
        return
    parts = text.split(":", _ARN_PARTS - 1)
    # A star can stand for the rest of the parts.
    if parts[0] != "arn" or len(parts) < 2 or (len(parts) < _ARN_PARTS and not text.endswith("*")):
        raise PolicyInvalid(f"{text!r} is neither an ARN nor `*`", path)
    if kind in REGISTRY_KINDS and (len(parts) < _ARN_PARTS or parts[2] != "ecr"):
        raise PolicyInvalid(f"{text!r} is not the ARN of repositories", path)


def texts(value: Any, path: str) -> list[tuple[str, str]]:
    """Read a text or a list of texts, at least one; return each with its path."""
    values = value if isinstance(value, list) else [value]
    if not values:
        raise PolicyInvalid("an empty list", path)
    found = []
    for number, item in enumerate(values):
        place = f"{path}[{number}]" if isinstance(value, list) else path
        if not isinstance(item, str) or isinstance(item, Number):
            raise PolicyInvalid("a text is wanted", place)
        found.append((item, place))
    return found
