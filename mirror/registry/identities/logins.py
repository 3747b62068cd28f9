"""Login profiles: the passwords with which users log in by name, `docker login -u ci`.

Source: IAM API reference: CreateLoginProfile, GetLoginProfile, UpdateLoginProfile, DeleteLoginProfile. What was issued
on a password's strength names the password's id, so changing or removing it ends that too (RELIABILITY A21).
"""

import secrets
from typing import Final

from msgspec.structs import replace

from mirror.aws.errors import EntityAlreadyExists, NoSuchEntity
from mirror.aws.principals import Principal
from mirror.oci.errors import Unauthorized
from mirror.registry.identities.callers import Credential
from mirror.registry.identities.entities import Entities, kept
from mirror.registry.identities.holders import Holders, changeable
from mirror.registry.identities.passwords import Passwords
from mirror.rules.identities import (
    PASSWORD_CHARS_MAX,
    PASSWORD_CHARS_MIN,
    Password,
    PasswordPolicyViolation,
    User,
    user_principal,
)

PREFIX: Final = "PW"


class Logins:
    """The passwords of every account's users."""

    def __init__(self, entities: Entities, holders: Holders, passwords: Passwords) -> None:
        self._entities = entities
        self._holders = holders
        self._passwords = passwords

    def find(self, account: str, name: str) -> Password:
        """Return what is kept of a user's password. Raises NoSuchEntity."""
        user = self._holders.user(account, name)
        if user.password is None:
            raise NoSuchEntity(f"Login Profile for User {name} cannot be found.")
        return user.password

    def has_password(self, name: str) -> bool:
        """Tell whether anybody of this name, of any account, logs in by a password."""
        found = self._entities.everywhere(User)
        return any(user.name == name and user.password is not None for _, user in found)

    async def create(self, account: str, name: str, password: str, now: float) -> Password:
        """Give a user a first password. Raises EntityAlreadyExists, PasswordPolicyViolation."""
        if self._holders.user(account, name).password is not None:
            raise EntityAlreadyExists(f"Login Profile for user {name} already exists.")
        return await self._set(account, name, password, now)

    async def update(self, account: str, name: str, password: str, now: float) -> Password:
        """Change a user's password. Raises NoSuchEntity, PasswordPolicyViolation."""
        self.find(account, name)
        return await self._set(account, name, password, now)

    async def delete(self, account: str, name: str) -> None:
        async with self._entities.changing():
            self.find(account, name)
            user = changeable(self._holders.user(account, name), "user")
            await self._entities.write([kept(account, replace(user, password=None))])

    async def check(self, account: str, name: str, password: str) -> tuple[Principal, Credential]:
        """Log a user in. Raises Unauthorized, after as long and in the same words whatever was wrong (A23)."""
        user = self._entities.user(account, name)
        known = user.password if user is not None else None
        matches = await self._passwords.matches(known.hash if known is not None else None, password)
        if user is None or known is None or not matches:
            raise Unauthorized("user name or password is wrong")
        return user_principal(account, user), Credential(known.id, known.id)

    async def _set(self, account: str, name: str, password: str, now: float) -> Password:
        check_password(password)
        made = await new_password(self._passwords, password, now)
        async with self._entities.changing():
            user = changeable(self._holders.user(account, name), "user")
            await self._entities.write([kept(account, replace(user, password=made))])
        return made


def check_password(password: str) -> None:
    """Raise PasswordPolicyViolation for a password that IAM's default policy would not take."""
    if len(password) < PASSWORD_CHARS_MIN:
        raise PasswordPolicyViolation(f"Password should have a minimum length of {PASSWORD_CHARS_MIN}")
    if len(password) > PASSWORD_CHARS_MAX or not password.isprintable():
        raise PasswordPolicyViolation(f"Password should have at most {PASSWORD_CHARS_MAX} printable characters")


async def new_password(passwords: Passwords, password: str, now: float) -> Password:
    """Hash a password and name it."""
    return Password(PREFIX + secrets.token_hex(8), await passwords.hash(password), now)


def is_password_of(user: User, origin: str) -> bool:
    """Say whether `origin` names the password that the user has now."""
    return user.password is not None and user.password.id == origin
