"""The grammar of policies: text in, a compiled policy out, and a precise refusal of everything unknown.

Source: IAM guide, "Grammar of the IAM JSON policy language"; ECR.md 2.1 and 2.2 for what repositories' and registries'
policies have of it; quotas: ECR 10,240 characters, IAM as many without spaces of what a role has inline. Pure.
"""

from typing import Any, Final

from mirror.rules.access.conditions import read_conditions
from mirror.rules.access.document import Number, read_document
from mirror.rules.access.echo import compact
from mirror.rules.access.elements import REGISTRY_KINDS, read_actions, read_principals, read_resources
from mirror.rules.access.faults import PolicyInvalid
from mirror.rules.access.statements import Policy, PolicyKind, Principals, Resources, Statement, policy_of

RESOURCE_POLICY_CHARS_MAX: Final = 10_240  # RepositoryPolicyText, RegistryPolicyText of the service model
IAM_POLICY_CHARS_MAX: Final = 10_240  # IAM quota of a role's inline policies, without spaces; others have lower ones
DOCUMENT_CHARS_MAX: Final = 131_072  # policyDocumentType of IAM's service model, spaces and all
VARIABLES_VERSION: Final = "2012-10-17"
_VERSIONS: Final = frozenset({"2008-10-17", VARIABLES_VERSION})
_TOP: Final = frozenset({"Version", "Id", "Statement"})
_PARTS: Final = frozenset(
    {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
)
_IAM_KINDS: Final = frozenset({"identity", "trust"})


def parse_policy(text: str, kind: PolicyKind) -> Policy:
    """Read a policy. Raises PolicyInvalid, which names the place and the fault."""
    _check_size(text, kind)
    document = _object(read_document(text), "")
    _check_keys(document, _TOP, "")
    for key in ("Version", "Id"):
        _check_text(document, key, "")
    version = document.get("Version")
    if version is not None and version not in _VERSIONS:
        raise PolicyInvalid(f"unknown version {version!r}", "Version")
    if "Statement" not in document:
        raise PolicyInvalid("there is no Statement")
    written = document["Statement"]
    if not written and not (kind == "identity" and isinstance(written, list)):
        raise PolicyInvalid("an empty Statement", "Statement")
    places = (
        [(item, f"Statement[{number}]") for number, item in enumerate(written)]
        if isinstance(written, list)
        else [(written, "Statement")]
    )
    variables = version == VARIABLES_VERSION
    return policy_of(kind, [_statement(_object(item, path), path, kind, variables) for item, path in places])


def _statement(item: dict[str, Any], path: str, kind: PolicyKind, variables: bool) -> Statement:
    _check_keys(item, _PARTS, path)
    _check_text(item, "Sid", path)
    effect = item.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise PolicyInvalid("Effect is Allow or Deny", f"{path}.Effect")
    allow = effect == "Allow"
    action = _one(item, "Action", path)
    if action is None:
        raise PolicyInvalid("there is neither Action nor NotAction", path)
    resources = _resources(item, path, kind, allow, variables)
    conditions = (
        read_conditions(item["Condition"], f"{path}.Condition", allow=allow, variables=variables)
        if "Condition" in item
        else ()
    )
    return Statement(
        allow,
        read_actions(item[action], f"{path}.{action}", kind, negated=action == "NotAction"),
        _principals(item, path, kind),
        resources,
        conditions,
        volatile=resources.volatile or any(condition.volatile for condition in conditions),
    )


def _principals(item: dict[str, Any], path: str, kind: PolicyKind) -> Principals | None:
    name = _one(item, "Principal", path)
    if kind == "identity":
        if name is not None:
            raise PolicyInvalid(f"an identity policy has no {name}: it is about who it is attached to", path)
        return None
    if name is None:
        raise PolicyInvalid("there is neither Principal nor NotPrincipal", path)
    return read_principals(item[name], f"{path}.{name}", negated=name == "NotPrincipal")


def _resources(item: dict[str, Any], path: str, kind: PolicyKind, allow: bool, variables: bool) -> Resources:
    name = _one(item, "Resource", path)
    if kind == "trust" and name is not None:
        raise PolicyInvalid(f"a trust policy has no {name}: it is about its role", path)
    if name is None:
        if kind == "identity" or kind in REGISTRY_KINDS:
            raise PolicyInvalid("there is neither Resource nor NotResource", path)
        return Resources(True)
    negated = name == "NotResource"
    if negated and kind in ("repository", "public-repository"):
        raise PolicyInvalid("a repository's policy is about its repository: NotResource is for others", path)
    return read_resources(item[name], f"{path}.{name}", kind, negated=negated, allow=allow, variables=variables)


def _one(item: dict[str, Any], name: str, path: str) -> str | None:
    """Return which of an element and its Not form is given; None for neither."""
    given = [key for key in (name, f"Not{name}") if key in item]
    if len(given) > 1:
        raise PolicyInvalid(f"{name} and Not{name} exclude each other", path)
    return given[0] if given else None


def _check_size(text: str, kind: PolicyKind) -> None:
    iam = kind in _IAM_KINDS
    limit = DOCUMENT_CHARS_MAX if iam else RESOURCE_POLICY_CHARS_MAX
    if len(text) > limit:
        raise PolicyInvalid(f"{len(text)} characters: at most {limit} are allowed")
    if iam and len(text) > IAM_POLICY_CHARS_MAX and len(compact(text)) > IAM_POLICY_CHARS_MAX:
        raise PolicyInvalid(f"more than {IAM_POLICY_CHARS_MAX} characters without spaces")


def _check_keys(item: dict[str, Any], known: frozenset[str], path: str) -> None:
    for key in item:
        if key not in known:
            raise PolicyInvalid(f"unknown element {key!r}", path)


def _check_text(item: dict[str, Any], key: str, path: str) -> None:
    value = item.get(key, "")
    if not isinstance(value, str) or isinstance(value, Number):
        raise PolicyInvalid("a text is wanted", f"{path}.{key}" if path else key)


def _object(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise PolicyInvalid("an object is wanted", path)
    return value
