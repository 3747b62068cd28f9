"""Managed policies: those of the customer, which have one version, and the built-in ones, which are only read.

Source: IAM API reference: CreatePolicy, GetPolicy, GetPolicyVersion, ListPolicies, DeletePolicy.
"""

from dataclasses import dataclass
from typing import Final

from mirror.aws.errors import (
    DeleteConflict,
    EntityAlreadyExists,
    IamLimitExceeded,
    NoSuchEntity,
    UnmodifiableEntity,
)
from mirror.registry.identities.compiled import Compiled
from mirror.registry.identities.entities import Entities, gone, kept
from mirror.registry.identities.sessions import new_key_id
from mirror.rules.access import MANAGED_POLICIES
from mirror.rules.identities import (
    MANAGED_CHARS_MAX,
    POLICIES_MAX,
    ManagedPolicy,
    Role,
    User,
    account_of_policy,
    managed_arn,
    policy_name_of,
    quota,
    read_path,
    read_policy_name,
)

VERSION: Final = "v1"  # the only one


@dataclass(frozen=True, slots=True)
class NamedPolicy:
    """A managed policy as it is listed: `attachments` counts the users and roles of the account that have it."""

    arn: str
    policy: ManagedPolicy
    attachments: int


class ManagedPolicies:
    """The managed policies that an account can attach."""

    def __init__(self, entities: Entities, compiled: Compiled) -> None:
        self._entities = entities
        self._compiled = compiled

    def find(self, account: str, arn: str) -> NamedPolicy:
        """Return a policy of the account, or a built-in one. Raises NoSuchEntity."""
        if self._compiled.document(account, arn) is None:
            raise NoSuchEntity(f"Policy {arn} was not found.")
        name = policy_name_of(arn)
        own = self._entities.policy(account, name)
        policy = _built_in(name) if account_of_policy(arn) == "aws" or own is None else own
        return NamedPolicy(arn, policy, self._attachments(account).get(arn, 0))

    def of(self, account: str, scope: str) -> list[NamedPolicy]:
        """List policies by name: of `scope` "Local" the account's, "AWS" the built-in ones, "All" both."""
        counts = self._attachments(account)
        own = [] if scope == "AWS" else self._entities.of(account, ManagedPolicy)
        built_in = [] if scope == "Local" else [_built_in(name) for name in MANAGED_POLICIES]
        found = [(managed_arn(account, policy), policy) for policy in own]
        found += [(managed_arn("aws", policy), policy) for policy in built_in]
        found.sort(key=lambda named: (named[1].name, named[0]))
        return [NamedPolicy(arn, policy, counts.get(arn, 0)) for arn, policy in found]

    async def create(
        self, account: str, name: str, document: str, now: float, path: str = "/", description: str = ""
    ) -> NamedPolicy:
        """Make a policy. Raises MalformedPolicyDocument, EntityAlreadyExists, IamLimitExceeded."""
        policy = ManagedPolicy(
            name=read_policy_name("policyName", name),
            id=new_key_id("ANPA"),
            path=read_path(path),
            document=document,
            description=description,
            created_at=now,
        )
        if len("".join(document.split())) > MANAGED_CHARS_MAX:
            raise IamLimitExceeded(f"Cannot exceed quota for PolicySize: {MANAGED_CHARS_MAX}")
        self._compiled.check(document, "identity")
        async with self._entities.changing():
            others = self._entities.of(account, ManagedPolicy)
            if any(other.name.lower() == name.lower() for other in others):
                raise EntityAlreadyExists(f"A policy called {name} already exists. Duplicate names are not allowed.")
            if len(others) >= POLICIES_MAX:
                raise quota("PoliciesPerAccount", POLICIES_MAX)
            await self._entities.write([kept(account, policy)])
        return NamedPolicy(managed_arn(account, policy), policy, 0)

    async def delete(self, account: str, arn: str) -> None:
        """Delete a policy that nobody has. Raises NoSuchEntity, DeleteConflict, UnmodifiableEntity."""
        async with self._entities.changing():
            named = self.find(account, arn)
            if named.policy.declared or account_of_policy(arn) == "aws":
                raise UnmodifiableEntity(f"Policy {arn} is built in or declared in a file and cannot be changed here.")
            if named.attachments:
                raise DeleteConflict("Cannot delete a policy attached to entities.")
            await self._entities.write([gone(account, named.policy)])

    def _attachments(self, account: str) -> dict[str, int]:
        counts: dict[str, int] = {}
        for holder in (*self._entities.of(account, User), *self._entities.of(account, Role)):
            for arn in holder.attached:
                counts[arn] = counts.get(arn, 0) + 1
        return counts


def _built_in(name: str) -> ManagedPolicy:
    """Show a built-in policy in the same shape; its id is its name, which never changes."""
    return ManagedPolicy(name=name, id=f"ANPA{name.upper()}"[:32], document=MANAGED_POLICIES[name], declared=True)
