"""IAM's entities as documents: read by account and name, written all or nothing.

Kept with the private registry of their account; access keys with the node, as their ids are unique on it. Reading is a
look into memory: what was decoded is kept beside the text it came from, so it is never older than that.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, TypeVar

import msgspec

from mirror.oci.names import Registry
from mirror.rules.identities import AccessKey, Account, Holder, HolderKind, ManagedPolicy, Role, User
from mirror.store.documents import Documents, Edit

USER: Final = "iam.user"
ROLE: Final = "iam.role"
KEY: Final = "iam.key"
POLICY: Final = "iam.policy"
ACCOUNT: Final = "iam.account"
NODE: Final = Registry("")
_KINDS: Final[dict[type, str]] = {User: USER, Role: ROLE, AccessKey: KEY, ManagedPolicy: POLICY, Account: ACCOUNT}

T = TypeVar("T", User, Role, AccessKey, ManagedPolicy, Account)


class Entities:
    """Typed access to the documents of IAM."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._decoded: dict[tuple[str, str, str], tuple[bytes, Any]] = {}
        self._changing = asyncio.Lock()

    @property
    def generation(self) -> int:
        """Grows with each change, also of documents that are not ours."""
        return self._documents.generation

    def changing(self) -> AbstractAsyncContextManager[None]:
        """Hold this from reading to writing: two changes of one entity must not lose one of them."""
        return self._changing

    def user(self, account: str, name: str) -> User | None:
        return self._get(account, User, name)

    def role(self, account: str, name: str) -> Role | None:
        return self._get(account, Role, name)

    def holder(self, account: str, kind: HolderKind, name: str) -> Holder | None:
        return self.user(account, name) if kind == "user" else self.role(account, name)

    def policy(self, account: str, name: str) -> ManagedPolicy | None:
        return self._get(account, ManagedPolicy, name)

    def key(self, key_id: str) -> AccessKey | None:
        return self._get("", AccessKey, key_id)

    def account(self, account: str) -> Account | None:
        return self._get(account, Account, "")

    def of(self, account: str, shape: type[T]) -> list[T]:
        """List an account's entities of one shape, by name; of access keys, with account "", all of the node."""
        kind = _KINDS[shape]
        found = self._documents.list(Registry(account), kind)
        return [self._decode(account, kind, name, body, shape) for name, body in found]

    def everywhere(self, shape: type[T]) -> list[tuple[str, T]]:
        """List the entities of one shape of every account, with the account."""
        kind = _KINDS[shape]
        found = self._documents.all(kind)
        return [(owner.account, self._decode(owner.account, kind, name, body, shape)) for owner, name, body in found]

    async def write(self, edits: Sequence[Edit]) -> None:
        """Make all changes or none, durably, and forget what was decoded of what is gone."""
        await self._documents.write(edits)
        for edit in edits:
            if edit.body is None:
                self._decoded.pop((edit.owner.account, edit.kind, edit.name), None)

    def _get(self, account: str, shape: type[T], name: str) -> T | None:
        body = self._documents.get(Registry(account), _KINDS[shape], name)
        return None if body is None else self._decode(account, _KINDS[shape], name, body, shape)

    def _decode(self, account: str, kind: str, name: str, body: bytes, shape: type[T]) -> T:
        key = (account, kind, name)
        known = self._decoded.get(key)
        if known is None or known[0] is not body:
            known = self._decoded[key] = (body, msgspec.json.decode(body, type=shape))
        entity: T = known[1]
        return entity


def kept(account: str, entity: User | Role | ManagedPolicy | AccessKey | Account) -> Edit:
    """The edit that writes `entity`."""
    return _edit(account, entity, msgspec.json.encode(entity))


def gone(account: str, entity: User | Role | ManagedPolicy | AccessKey | Account) -> Edit:
    """The edit that deletes `entity`."""
    return _edit(account, entity, None)


def _edit(account: str, entity: User | Role | ManagedPolicy | AccessKey | Account, body: bytes | None) -> Edit:
    if isinstance(entity, AccessKey):
        return Edit(NODE, KEY, entity.id, body)
    if isinstance(entity, Account):
        return Edit(Registry(account), ACCOUNT, "", body)
    return Edit(Registry(account), _KINDS[type(entity)], entity.name, body)
