"""Public registries: one for each account, and the aliases by which everybody calls them.

Source: ECR Public guide, "Public registries"; ECR.md 2.10. The default alias is made with an account's first public
repository: random, and for good, because images are pulled by it.
"""

import asyncio
import secrets
import string
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from mirror.aws.arns import ACCOUNT
from mirror.oci.names import Registry
from mirror.store.documents import Documents, Edit

ALIAS: Final = "public.alias"  # the kind of document; its name is the alias, its owner the public registry
ALIAS_CHARS: Final = 8  # seen of ECR Public: a1b2c3d4

_FIRST: Final = string.ascii_lowercase  # an alias begins with a letter, so none is an account's id
_REST: Final = string.ascii_lowercase + string.digits


class Alias(msgspec.Struct, frozen=True):
    """What an alias is. The `primary` one stands in addresses; the `default` one the registry was given."""

    status: Literal["ACTIVE", "PENDING", "REJECTED"] = "ACTIVE"
    primary: bool = True
    default: bool = True


class PublicRegistries:
    """The public registries of all accounts."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._making = asyncio.Lock()
        self._known: Mapping[str, Registry] = {}
        self._known_generation = -1

    def find(self, text: str) -> Registry | None:
        """Return the registry that an account's id or an alias that is in use means."""
        if ACCOUNT.fullmatch(text):
            return Registry(text, public=True)
        return self._by_alias().get(text)

    def aliases(self, registry: Registry) -> list[tuple[str, Alias]]:
        """List the aliases of a registry, by name."""
        return [(name, _read(body)) for name, body in self._documents.list(registry, ALIAS)]

    def alias(self, registry: Registry) -> str | None:
        """Return the alias that stands in a registry's addresses; None before its first repository."""
        active = [(name, alias) for name, alias in self.aliases(registry) if alias.status == "ACTIVE"]
        return next((name for name, alias in sorted(active, key=lambda one: not one[1].primary)), None)

    async def ensure(self, registry: Registry) -> str:
        """Return the alias of a registry, made now if it has none."""
        async with self._making:
            alias = self.alias(registry)
            if alias is None:
                alias = self._new_alias()
                await self._documents.write([Edit(registry, ALIAS, alias, msgspec.json.encode(Alias()))])
        return alias

    def _new_alias(self) -> str:
        while True:
            rest = "".join(secrets.choice(_REST) for _ in range(ALIAS_CHARS - 1))
            alias = secrets.choice(_FIRST) + rest
            if not any(name == alias for _, name, _ in self._documents.all(ALIAS)):
                return alias

    def _by_alias(self) -> Mapping[str, Registry]:
        """Return who has which alias, read again when some document has changed."""
        if self._known_generation != self._documents.generation:
            found = self._documents.all(ALIAS)
            self._known = {name: owner for owner, name, body in found if _read(body).status == "ACTIVE"}
            self._known_generation = self._documents.generation
        return self._known


def _read(body: bytes) -> Alias:
    return msgspec.json.decode(body, type=Alias)
