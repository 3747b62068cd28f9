"""What the tests of identities share: documents in memory, seals under a random key, a cheap scrypt."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from mirror.aws.principals import Principal, root_of
from mirror.oci.names import Registry
from mirror.registry.identities import Identities, Passwords, Seals, Signatures, SigningKeys, Tokens
from mirror.rules.identities import role_principal, user_principal
from mirror.store.document_map import DocumentKey, DocumentMap
from mirror.store.documents import Edit

ACCOUNT = "123456789012"
OTHER = "210987654321"
NOW = 1_800_000_000.0
COST = 2


class Documents:
    """The store's documents without the store: the same map, written at once."""

    def __init__(self) -> None:
        self._map = DocumentMap({})
        self.writes = 0

    @property
    def generation(self) -> int:
        return self._map.generation

    def get(self, owner: Registry, kind: str, name: str = "") -> bytes | None:
        return self._map.get(owner, kind, name)

    def list(self, owner: Registry, kind: str) -> Any:
        return self._map.list(owner, kind)

    def all(self, kind: str) -> Any:
        return self._map.all(kind)

    async def write(self, edits: Sequence[Edit]) -> None:
        self.writes += bool(edits)
        self._map.take_in({DocumentKey(edit.owner, edit.kind, edit.name): edit.body for edit in edits})


@dataclass
class World:
    """A node's identities, with its tokens and what they stand on."""

    documents: Any
    seals: Seals
    passwords: Passwords
    identities: Identities
    keys: SigningKeys
    signatures: Signatures
    tokens: Tokens

    async def user(self, name: str, account: str = ACCOUNT) -> Principal:
        return user_principal(account, await self.identities.holders.create_user(account, name, NOW))

    async def role(self, name: str, trust: str, account: str = ACCOUNT, **more: Any) -> str:
        role = await self.identities.holders.create_role(account, name, trust, NOW, **more)
        return f"arn:aws:iam::{account}:role{role.path}{name}"

    async def session(self, role: str, account: str = ACCOUNT, name: str = "work") -> Principal:
        return role_principal(account, self.identities.holders.role(account, role), name)

    def root(self, account: str = ACCOUNT) -> Principal:
        return root_of(account)


async def new_world(documents: Any = None, seals: Seals | None = None) -> World:
    documents = documents or Documents()
    seals = seals or Seals(secrets.token_bytes(32))
    passwords = Passwords(COST)
    identities = Identities(documents, seals, passwords, ACCOUNT)
    keys = SigningKeys(documents, seals)
    keys.load()
    await keys.rotate(NOW)
    signatures = Signatures(keys)
    return World(documents, seals, passwords, identities, keys, signatures, Tokens(signatures, identities.current))


@pytest.fixture
async def world() -> World:
    return await new_world()
