"""Users and roles, and the policies they hold: inline ones and attached ones. The same verbs for both.

Source: IAM API reference: CreateUser ... DetachRolePolicy; message texts as IAM's. What a file declares is changed in
the file: UnmodifiableEntity here.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from msgspec.structs import replace

from mirror.aws.errors import DeleteConflict, EntityAlreadyExists, IamLimitExceeded, NoSuchEntity, UnmodifiableEntity
from mirror.registry.identities.compiled import Compiled
from mirror.registry.identities.entities import Entities, gone, kept
from mirror.registry.identities.sessions import new_key_id
from mirror.rules.identities import (
    ATTACHED_MAX,
    INLINE_CHARS_MAX,
    ROLE_SESSION_S_DEFAULT,
    ROLES_MAX,
    TRUST_CHARS_MAX,
    USERS_MAX,
    HolderKind,
    Role,
    User,
    not_found,
    quota,
    read_name,
    read_path,
    read_policy_name,
)

H = TypeVar("H", bound=User | Role)


class Holders:
    """The users and roles of every account."""

    def __init__(self, entities: Entities, compiled: Compiled) -> None:
        self._entities = entities
        self._compiled = compiled

    def find(self, account: str, kind: HolderKind, name: str) -> User | Role:
        """Return a user or a role. Raises NoSuchEntity."""
        return self.role(account, name) if kind == "role" else self.user(account, name)

    def user(self, account: str, name: str) -> User:
        found = self._entities.user(account, name)
        if found is None:
            raise not_found("user", name)
        return found

    def role(self, account: str, name: str) -> Role:
        found = self._entities.role(account, name)
        if found is None:
            raise not_found("role", name)
        return found

    def users(self, account: str) -> list[User]:
        return self._entities.of(account, User)

    def roles(self, account: str) -> list[Role]:
        return self._entities.of(account, Role)

    async def create_user(self, account: str, name: str, now: float, path: str = "/") -> User:
        """Make a user, who may do nothing. Raises EntityAlreadyExists; names differ in more than case."""
        read_name("userName", name)
        user = User(name=name, id=new_key_id("AIDA"), path=read_path(path), created_at=now)
        async with self._entities.changing():
            check_free("User", name, self.users(account), "UsersPerAccount", USERS_MAX)
            await self._entities.write([kept(account, user)])
        return user

    async def create_role(
        self,
        account: str,
        name: str,
        trust: str,
        now: float,
        path: str = "/",
        description: str = "",
        max_session_s: int = ROLE_SESSION_S_DEFAULT,
    ) -> Role:
        """Make a role that those may assume whom `trust` names. Raises MalformedPolicyDocument, EntityAlreadyExists."""
        role = Role(
            name=read_name("roleName", name),
            id=new_key_id("AROA"),
            path=read_path(path),
            created_at=now,
            trust=self._trust(trust),
            description=description,
            max_session_s=max_session_s,
        )
        async with self._entities.changing():
            check_free("Role", name, self.roles(account), "RolesPerAccount", ROLES_MAX)
            await self._entities.write([kept(account, role)])
        return role

    async def update_trust(self, account: str, name: str, trust: str) -> None:
        """Change who may assume a role; sessions that exist live on."""
        async with self._entities.changing():
            role = changeable(self.role(account, name), "role")
            await self._entities.write([kept(account, replace(role, trust=self._trust(trust)))])

    async def delete(self, account: str, kind: HolderKind, name: str) -> None:
        """Delete a user or a role, and with it every token and session. Raises DeleteConflict while it holds things."""
        async with self._entities.changing():
            holder = changeable(self.find(account, kind, name), kind)
            for held, what in (
                (holder.attached, "detach all policies"),
                (holder.inline, "delete policies"),
                (isinstance(holder, User) and holder.keys, "delete access keys"),
                (isinstance(holder, User) and holder.password, "delete login profile"),
            ):
                if held:
                    raise DeleteConflict(f"Cannot delete entity, must {what} first.")
            await self._entities.write([gone(account, holder)])

    # Inline policies.

    def inline(self, account: str, kind: HolderKind, name: str, policy: str) -> str:
        """Return the text of an inline policy. Raises NoSuchEntity."""
        text = self.find(account, kind, name).inline.get(policy)
        if text is None:
            raise not_found(f"{kind} policy", policy)
        return text

    async def put_inline(self, account: str, kind: HolderKind, name: str, policy: str, text: str) -> None:
        """Give a user or role an inline policy, or change it. Raises MalformedPolicyDocument, IamLimitExceeded."""
        read_policy_name("policyName", policy)
        self._compiled.check(text, "identity")
        async with self._entities.changing():
            holder = changeable(self.find(account, kind, name), kind)
            inline = {**holder.inline, policy: text}
            check_inline_size(kind, name, inline)
            await self._replace(account, holder, inline=inline)

    async def delete_inline(self, account: str, kind: HolderKind, name: str, policy: str) -> None:
        async with self._entities.changing():
            holder = changeable(self.find(account, kind, name), kind)
            self.inline(account, kind, name, policy)
            inline = {other: text for other, text in holder.inline.items() if other != policy}
            await self._replace(account, holder, inline=inline)

    # Attached policies.

    async def attach(self, account: str, kind: HolderKind, name: str, arn: str) -> None:
        """Attach a managed policy; once more changes nothing. Raises NoSuchEntity, IamLimitExceeded."""
        async with self._entities.changing():
            holder = changeable(self.find(account, kind, name), kind)
            if self._compiled.document(account, arn) is None:
                raise NoSuchEntity(f"Policy {arn} does not exist or is not attachable.")
            if arn in holder.attached:
                return
            if len(holder.attached) >= ATTACHED_MAX:
                raise quota(f"PoliciesPer{kind.title()}", ATTACHED_MAX)
            await self._replace(account, holder, attached=(*holder.attached, arn))

    async def detach(self, account: str, kind: HolderKind, name: str, arn: str) -> None:
        async with self._entities.changing():
            holder = changeable(self.find(account, kind, name), kind)
            if arn not in holder.attached:
                raise NoSuchEntity(f"Policy {arn} was not found.")
            await self._replace(account, holder, attached=tuple(other for other in holder.attached if other != arn))

    async def _replace(self, account: str, holder: User | Role, **changes: Any) -> None:
        await self._entities.write([kept(account, replace(holder, **changes))])

    def _trust(self, text: str) -> str:
        if len(text) > TRUST_CHARS_MAX:
            raise quota("ACLSizePerRole", TRUST_CHARS_MAX)
        self._compiled.check(text, "trust")
        return text


def changeable(holder: H, kind: HolderKind) -> H:
    """Return `holder` unless a file declares it: then raise UnmodifiableEntity."""
    if holder.declared:
        raise UnmodifiableEntity(f"The {kind} with name {holder.name} is declared in a file and is changed there.")
    return holder


def check_free(what: str, name: str, others: Any, quota_name: str, limit: int) -> None:
    """Raise EntityAlreadyExists or IamLimitExceeded unless one more entity called `name` may be made."""
    if any(other.name.lower() == name.lower() for other in others):
        raise EntityAlreadyExists(f"{what} with name {name} already exists.")
    if len(others) >= limit:
        raise quota(quota_name, limit)


def check_inline_size(kind: HolderKind, name: str, inline: Mapping[str, str]) -> None:
    """Raise IamLimitExceeded when the inline policies together are too long; white space is not counted."""
    limit = INLINE_CHARS_MAX[kind]
    if sum(len("".join(text.split())) for text in inline.values()) > limit:
        raise IamLimitExceeded(f"Maximum policy size of {limit} bytes exceeded for {kind} {name}")
