"""Accounts of this node, and their aliases.

An account is there when a file declares it, when somebody made it, or when it is the node's own. Source for aliases:
IAM API reference, CreateAccountAlias: one an account, unique on the whole node.
"""

from msgspec.structs import replace

from mirror.aws.errors import EntityAlreadyExists, UnmodifiableEntity
from mirror.registry.identities.entities import Entities, kept
from mirror.rules.identities import Account, not_found, read_alias


class Accounts:
    """The accounts; `default` is the node's own."""

    def __init__(self, entities: Entities, default: str) -> None:
        self._entities = entities
        self.default = default

    def exists(self, account: str) -> bool:
        return account == self.default or self._entities.account(account) is not None

    def all(self) -> list[str]:
        """List the accounts' ids."""
        return sorted({self.default, *(account for account, _ in self._entities.everywhere(Account))})

    def alias(self, account: str) -> str:
        """Return the account's alias, or ""."""
        found = self._entities.account(account)
        return found.alias if found is not None else ""

    def find_alias(self, alias: str) -> str | None:
        """Return the account that has this alias."""
        found = self._entities.everywhere(Account)
        return next((account for account, kept_one in found if alias and kept_one.alias == alias), None)

    async def create(self, account: str, now: float) -> bool:
        """Make an account, or leave it as it is; return whether it was made."""
        async with self._entities.changing():
            if self.exists(account):
                return False
            await self._entities.write([kept(account, Account(id=account, created_at=now))])
            return True

    async def set_alias(self, account: str, alias: str) -> None:
        """Give the account an alias, in place of the one it has. Raises EntityAlreadyExists, IamValidationError."""
        read_alias(alias)
        async with self._entities.changing():
            if self.find_alias(alias) is not None:
                raise EntityAlreadyExists(f"The account alias {alias} already exists.")
            await self._write(account, alias)

    async def remove_alias(self, account: str, alias: str) -> None:
        """Take the account's alias away. Raises NoSuchEntity unless it is this one."""
        async with self._entities.changing():
            if not alias or self.alias(account) != alias:
                raise not_found("account alias", alias)
            await self._write(account, "")

    async def _write(self, account: str, alias: str) -> None:
        found = self._entities.account(account) or Account(id=account)
        if found.declared and found.alias:
            raise UnmodifiableEntity(f"The account {account} is declared in a file and is changed there.")
        await self._entities.write([kept(account, replace(found, alias=alias))])
