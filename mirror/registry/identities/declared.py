"""What a file declares, made so: creates, changes, and takes away what it declared before and does no more.

All in one write, so that a node never runs with half a file. What was made by API is left alone, but for one thing:
a policy that the file takes away is detached from everybody, lest a later one of its name be theirs by surprise.
"""

from dataclasses import dataclass
from typing import TypeVar

from msgspec.structs import replace

from mirror.aws.errors import EntityAlreadyExists
from mirror.registry.identities.entities import Entities, gone, kept
from mirror.registry.identities.identities import Identities
from mirror.registry.identities.logins import new_password
from mirror.registry.identities.passwords import Passwords
from mirror.registry.identities.seals import SealBroken
from mirror.registry.identities.sessions import new_key_id
from mirror.rules.identities import (
    ROOT,
    AccessKey,
    Account,
    Declared,
    DeclaredKey,
    DeclaredPolicy,
    DeclaredRole,
    DeclaredUser,
    ManagedPolicy,
    Password,
    Role,
    User,
    managed_arn,
)

Entity = User | Role | ManagedPolicy | AccessKey | Account
Place = tuple[type[Entity], str, str]  # shape, account ("" for access keys), name
T = TypeVar("T", User, Role, ManagedPolicy, AccessKey)


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What a file made or changed, and what it took away: `User 111122223333/ci`."""

    written: tuple[str, ...]
    removed: tuple[str, ...]


async def reconcile(identities: Identities, passwords: Passwords, declared: Declared, now: float) -> Reconciled:
    """Make what `declared` says so. Raises EntityAlreadyExists where something made by API has the name already."""
    hashed = await _hashed(identities.entities, passwords, declared, now)
    async with identities.entities.changing():
        before = _everything(identities.entities)
        world = _World(identities, dict(before), now)
        world.leave_out_declared()
        for policy in declared.policies:
            world.put_policy(policy, before)
        for role in declared.roles:
            world.put_role(role, before)
        for user in declared.users:
            world.put_user(user, before, hashed.get((user.account, user.name)))
        world.settle_accounts(declared)
        world.detach(before)
        written = [place for place, entity in world.after.items() if before.get(place) != entity]
        removed = [place for place in before if place not in world.after]
        edits = [kept(place[1], world.after[place]) for place in written]
        await identities.entities.write(edits + [gone(place[1], before[place]) for place in removed])
    return Reconciled(tuple(map(_said, written)), tuple(map(_said, removed)))


@dataclass(slots=True)
class _World:
    """All entities as they shall be."""

    identities: Identities
    after: dict[Place, Entity]
    now: float

    def leave_out_declared(self) -> None:
        """Begin as if the file were empty."""
        for place, entity in list(self.after.items()):
            if entity.declared and not isinstance(entity, Account):
                del self.after[place]

    def put_policy(self, declared: DeclaredPolicy, before: dict[Place, Entity]) -> None:
        old = self._free(ManagedPolicy, declared.account, declared.name, before)
        self.after[ManagedPolicy, declared.account, declared.name] = ManagedPolicy(
            name=declared.name,
            id=old.id if old else new_key_id("ANPA"),
            path=declared.path,
            document=declared.document,
            description=declared.description,
            created_at=old.created_at if old else self.now,
            declared=True,
        )

    def put_role(self, declared: DeclaredRole, before: dict[Place, Entity]) -> None:
        old = self._free(Role, declared.account, declared.name, before)
        self.after[Role, declared.account, declared.name] = Role(
            name=declared.name,
            id=old.id if old else new_key_id("AROA"),
            path=declared.path,
            created_at=old.created_at if old else self.now,
            inline=dict(declared.inline),
            attached=declared.attached,
            declared=True,
            trust=declared.trust,
            description=declared.description,
            max_session_s=declared.max_session_s,
        )

    def put_user(self, declared: DeclaredUser, before: dict[Place, Entity], password: Password | None) -> None:
        user_id = ""
        if declared.name != ROOT:
            old = self._free(User, declared.account, declared.name, before)
            user_id = old.id if old else new_key_id("AIDA")
            self.after[User, declared.account, declared.name] = User(
                name=declared.name,
                id=user_id,
                path=declared.path,
                created_at=old.created_at if old else self.now,
                inline=dict(declared.inline),
                attached=declared.attached,
                declared=True,
                keys=tuple(key.id for key in declared.keys),
                password=password,
            )
        for key in declared.keys:
            self._put_key(declared, key, user_id, before)

    def settle_accounts(self, declared: Declared) -> None:
        """Make the accounts that the file speaks of, with their aliases and the keys that their roots have now."""
        aliases = {account.id: account.alias for account in declared.accounts}
        named = {*aliases, *(policy.account for policy in declared.policies)}
        named |= {role.account for role in declared.roles} | {user.account for user in declared.users}
        known = {account for shape, account, _ in self.after if shape is Account}
        for account in sorted(named | known):
            self._settle(account, aliases.get(account, ""), is_declared=account in named)

    def detach(self, before: dict[Place, Entity]) -> None:
        """Take away from every user and role the policies that are no longer there."""
        lost = _arns(before) - _arns(self.after)
        for place, entity in self.after.items():
            if isinstance(entity, User | Role) and not lost.isdisjoint(entity.attached):
                left = tuple(arn for arn in entity.attached if arn not in lost)
                self.after[place] = replace(entity, attached=left)

    def _put_key(self, user: DeclaredUser, key: DeclaredKey, user_id: str, before: dict[Place, Entity]) -> None:
        old = self._free(AccessKey, "", key.id, before)
        made = AccessKey(
            id=key.id,
            account=user.account,
            secret=b"",
            created_at=self.now,
            user=user.name if user_id else "",
            user_id=user_id,
            declared=True,
        )
        if old is not None and _opens(self.identities, old, key.secret):
            made = replace(made, secret=old.secret, created_at=old.created_at)
        else:
            # Another secret is another key: what hangs on the old one ends.
            made = self.identities.keys.sealed(made, key.secret)
        self.after[AccessKey, "", key.id] = made

    def _settle(self, account: str, alias: str, *, is_declared: bool) -> None:
        found = self.after.get((Account, account, ""))
        old = found if isinstance(found, Account) else Account(id=account, created_at=self.now)
        roots = [
            one
            for one in self.after.values()
            if isinstance(one, AccessKey) and (one.account, one.user) == (account, "")
        ]
        keys = tuple(sorted(key.id for key in roots))
        if old.declared and not is_declared and not keys:
            self.after.pop((Account, account, ""), None)
            return
        kept_alias = alias if is_declared or old.declared else old.alias
        self.after[Account, account, ""] = replace(old, alias=kept_alias, keys=keys, declared=is_declared)

    def _free(self, shape: type[T], account: str, name: str, before: dict[Place, Entity]) -> T | None:
        """Return what was declared under this name before. Raises EntityAlreadyExists if it was made by API."""
        if (shape, account, name) in self.after:
            raise EntityAlreadyExists(
                f"{shape.__name__} {name} of account {account} is declared in a file, but was made by API before: "
                "delete the one or the other."
            )
        found = before.get((shape, account, name))
        return found if isinstance(found, shape) else None


async def _hashed(
    entities: Entities, passwords: Passwords, declared: Declared, now: float
) -> dict[tuple[str, str], Password]:
    """Hash the declared passwords; one that has not changed keeps its hash, and what was issued on it lives on."""
    found = {}
    for user in declared.users:
        if user.password:
            old = entities.user(user.account, user.name)
            known = old.password if old is not None and old.declared else None
            if known is None or not await passwords.matches(known.hash, user.password):
                known = await new_password(passwords, user.password, now)
            found[user.account, user.name] = known
    return found


def _everything(entities: Entities) -> dict[Place, Entity]:
    found: dict[Place, Entity] = {(AccessKey, "", key.id): key for _, key in entities.everywhere(AccessKey)}
    found |= {(Account, account, ""): one for account, one in entities.everywhere(Account)}
    found |= {(User, account, one.name): one for account, one in entities.everywhere(User)}
    found |= {(Role, account, one.name): one for account, one in entities.everywhere(Role)}
    found |= {(ManagedPolicy, account, one.name): one for account, one in entities.everywhere(ManagedPolicy)}
    return found


def _said(place: Place) -> str:
    shape, account, name = place
    return f"{shape.__name__} {'/'.join(part for part in (account, name) if part)}"


def _arns(world: dict[Place, Entity]) -> set[str]:
    return {managed_arn(place[1], one) for place, one in world.items() if isinstance(one, ManagedPolicy)}


def _opens(identities: Identities, key: AccessKey, secret: str) -> bool:
    try:
        return identities.keys.secret(key) == secret
    except SealBroken:
        return False
