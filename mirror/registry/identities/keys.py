"""Access keys: made, listed, switched off, deleted. A secret is shown once, when its key is made; at rest it is sealed.

Source: IAM API reference: CreateAccessKey, ListAccessKeys, UpdateAccessKey, DeleteAccessKey; a user has two at most.
A key belongs to a user, or to the account's root, which `user` "" names here.
"""

from typing import Final

from msgspec.structs import replace

from mirror.aws.errors import NoSuchEntity, UnmodifiableEntity
from mirror.registry.identities.entities import Entities, gone, kept
from mirror.registry.identities.holders import changeable
from mirror.registry.identities.seals import Seals
from mirror.registry.identities.sessions import new_key_id, new_secret
from mirror.rules.identities import KEYS_PER_USER_MAX, AccessKey, Account, User, not_found, quota

PREFIX: Final = "AKIA"


class AccessKeys:
    """The access keys of every account."""

    def __init__(self, entities: Entities, seals: Seals) -> None:
        self._entities = entities
        self._seals = seals
        self._opened: dict[str, tuple[bytes, str]] = {}

    def of(self, account: str, user: str) -> list[AccessKey]:
        """List the keys of a user, or of root. Raises NoSuchEntity when there is no such user."""
        found = (self._entities.key(key_id) for key_id in self._owner(account, user).keys)
        return [key for key in found if key is not None]

    async def create(self, account: str, user: str, now: float) -> tuple[AccessKey, str]:
        """Make a key; return it and its secret, for the only time. Raises IamLimitExceeded."""
        secret = new_secret()
        async with self._entities.changing():
            owner = self._changeable(account, user)
            if len(owner.keys) >= KEYS_PER_USER_MAX:
                raise quota("AccessKeysPerUser", KEYS_PER_USER_MAX)
            key = AccessKey(
                id=new_key_id(PREFIX),
                account=account,
                secret=b"",
                created_at=now,
                user=user,
                user_id=owner.id if isinstance(owner, User) else "",
            )
            key = self.sealed(key, secret)
            await self._entities.write([kept(account, replace(owner, keys=(*owner.keys, key.id))), kept(account, key)])
        return key, secret

    async def switch(self, account: str, user: str, key_id: str, *, active: bool) -> None:
        """Take a key and what hangs on it out of use, or back into it."""
        async with self._entities.changing():
            key = self._find(account, user, key_id)
            await self._entities.write([kept(account, replace(key, active=active))])

    async def delete(self, account: str, user: str, key_id: str) -> None:
        """Delete a key; what hangs on it ends with it."""
        async with self._entities.changing():
            key = self._find(account, user, key_id)
            owner = self._owner(account, user)
            left = tuple(other for other in owner.keys if other != key_id)
            await self._entities.write([kept(account, replace(owner, keys=left)), gone(account, key)])
            self._opened.pop(key_id, None)

    def sealed(self, key: AccessKey, secret: str) -> AccessKey:
        """Return `key` with its secret sealed."""
        return replace(key, secret=self._seals.seal(secret.encode(), _of(key.id)))

    def secret(self, key: AccessKey) -> str:
        """Return a key's secret. Raises SealBroken."""
        known = self._opened.get(key.id)
        if known is None or known[0] != key.secret:
            known = self._opened[key.id] = (key.secret, self._seals.open(key.secret, _of(key.id)).decode())
        return known[1]

    def _find(self, account: str, user: str, key_id: str) -> AccessKey:
        owner = self._owner(account, user)
        key = self._entities.key(key_id) if key_id in owner.keys else None
        if key is None:
            raise NoSuchEntity(f"The Access Key with id {key_id} cannot be found.")
        if key.declared:
            raise UnmodifiableEntity(f"The Access Key with id {key_id} is declared in a file and is changed there.")
        self._changeable(account, user)
        return key

    def _owner(self, account: str, user: str) -> User | Account:
        if not user:
            return self._entities.account(account) or Account(id=account)
        found = self._entities.user(account, user)
        if found is None:
            raise not_found("user", user)
        return found

    def _changeable(self, account: str, user: str) -> User | Account:
        owner = self._owner(account, user)
        return changeable(owner, "user") if isinstance(owner, User) else owner


def _of(key_id: str) -> str:
    return f"access-key/{key_id}"
