"""Policies of principals, compiled: what the evaluator is given for who asks.

Compiled once for each text; what belongs to a principal is put together anew when any document has changed. A kept
text that cannot be read any more becomes a policy that denies everything: skipping it might skip a Deny.
"""

from typing import Final

from mirror.aws.errors import MalformedPolicyDocument
from mirror.aws.principals import Principal
from mirror.registry.identities.entities import Entities
from mirror.registry.parsed_policies import ParsedPolicies
from mirror.rules.access import MANAGED_POLICIES, Policy, PolicyInvalid, PolicyKind
from mirror.rules.identities import Holder, Role, account_of_policy, managed_arn, policy_name_of

DENY_ALL: Final = '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}'
_NOBODY: Final = '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"sts:AssumeRole"}]}'


class Compiled:
    """The compiled policies of one node."""

    def __init__(self, entities: Entities) -> None:
        self._entities = entities
        self._parse = ParsedPolicies().get
        self._generation = -1
        self._known: dict[tuple[str, str, str], tuple[str, tuple[Policy, ...]]] = {}

    def check(self, text: str, kind: PolicyKind) -> None:
        """Raise MalformedPolicyDocument unless `text` is a policy of this kind."""
        try:
            self._parse(text, kind)
        except PolicyInvalid as error:
            raise MalformedPolicyDocument(f"Syntax errors in policy. {error}") from None

    def identity(self, principal: Principal) -> tuple[Policy, ...]:
        """Return the identity policies of a user or of a role's session; root and anonymous have none."""
        if principal.kind not in ("user", "role"):
            return ()
        if self._generation != self._entities.generation:
            self._known.clear()
            self._generation = self._entities.generation
        key = (principal.account, principal.kind, principal.name)
        known = self._known.get(key)
        if known is None:
            holder = self._entities.holder(principal.account, principal.kind, principal.name)
            if holder is None:
                return ()
            texts = (*holder.inline.values(), *self._attached(principal.account, holder))
            known = self._known[key] = (holder.id, tuple(self._read(text, "identity", DENY_ALL) for text in texts))
        # Rights of a user that was deleted and made again are not those of the old one.
        return known[1] if known[0] == principal.id else ()

    def trust(self, role: Role) -> Policy:
        """Return the policy that says who may assume `role`."""
        return self._read(role.trust, "trust", _NOBODY)

    def document(self, account: str, arn: str) -> str | None:
        """Return the text of a managed policy that holders in `account` may have; None when there is none."""
        owner = account_of_policy(arn)
        if owner == "aws":
            return MANAGED_POLICIES.get(arn.removeprefix("arn:aws:iam::aws:policy/"))
        policy = self._entities.policy(account, policy_name_of(arn)) if owner == account else None
        return policy.document if policy is not None and managed_arn(account, policy) == arn else None

    def _attached(self, account: str, holder: Holder) -> list[str]:
        return [self.document(account, arn) or DENY_ALL for arn in holder.attached]

    def _read(self, text: str, kind: PolicyKind, otherwise: str) -> Policy:
        try:
            return self._parse(text, kind)
        except PolicyInvalid:
            return self._parse(otherwise, kind)
