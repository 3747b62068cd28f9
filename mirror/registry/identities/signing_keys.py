"""Signing keys: the node's own keys for tokens. A new one each day; an old one until all that it signed has expired.

Kept sealed as documents of the node, named by their `kid`. Ordered by a serial number, not by their dates: a clock that
jumps (RELIABILITY G24) makes a new key early, and takes none away while the next one is young.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import msgspec

from mirror.oci.names import Registry
from mirror.registry.identities.seals import Seals
from mirror.store.documents import Documents, Edit

KIND: Final = "node.key"
NODE: Final = Registry("")
ROTATE_EVERY_S: Final = 24 * 3_600.0
TOKEN_S_MAX: Final = 12 * 3_600.0  # an authorization token's life: the longest of all that is signed
MARGIN_S: Final = 3_600.0  # a token issued while a rotation is being written, and clocks that are set
KEYS_MAX: Final = 16  # whatever the clock does; a regular life needs two
KEY_BYTES: Final = 32  # HS256: as long as its hash (RFC 7518, section 3.2)
assert TOKEN_S_MAX + MARGIN_S < ROTATE_EVERY_S  # so two keys are enough


class _Kept(msgspec.Struct, frozen=True):
    serial: int
    created_at: float
    secret: bytes  # sealed


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key, opened."""

    kid: str
    serial: int
    created_at: float
    secret: bytes = field(repr=False)


class SigningKeys:
    """The keys that are accepted. `load` and one `rotate` come before the first use."""

    def __init__(self, documents: Documents, seals: Seals) -> None:
        self._documents = documents
        self._seals = seals
        self._keys: dict[str, SigningKey] = {}  # oldest first

    def load(self) -> None:
        """Open the kept keys. Raises SealBroken: then the master key is not the one of this store."""
        keys = []
        for kid, body in self._documents.list(NODE, KIND):
            kept = msgspec.json.decode(body, type=_Kept)
            secret = self._seals.open(kept.secret, f"{KIND}/{kid}")
            keys.append(SigningKey(kid, kept.serial, kept.created_at, secret))
        self._keys = {key.kid: key for key in sorted(keys, key=lambda key: key.serial)}

    @property
    def current(self) -> SigningKey:
        """The key that signs: the newest."""
        return next(reversed(self._keys.values()))

    @property
    def accepted(self) -> Iterable[SigningKey]:
        """All keys whose signatures are taken."""
        return self._keys.values()

    def find(self, kid: str) -> SigningKey | None:
        """Return an accepted key."""
        return self._keys.get(kid)

    async def rotate(self, now: float) -> None:
        """Make a new key when it is time, and delete those whose tokens have all expired. For each start and hour."""
        keys = list(self._keys.values())
        if not keys or not 0 <= now - keys[-1].created_at < ROTATE_EVERY_S:
            keys.append(_new(keys[-1].serial + 1 if keys else 1, now))
        gone = {
            old.kid for old, following in pairwise(keys) if now - following.created_at >= TOKEN_S_MAX + MARGIN_S
        } | {key.kid for key in keys[:-KEYS_MAX]}
        edits = [Edit(NODE, KIND, kid, None) for kid in sorted(gone)]
        if keys[-1].kid not in self._keys:
            edits.append(self._edit(keys[-1]))
        await self._documents.write(edits)
        self._keys = {key.kid: key for key in keys if key.kid not in gone}

    def _edit(self, key: SigningKey) -> Edit:
        sealed = self._seals.seal(key.secret, f"{KIND}/{key.kid}")
        return Edit(NODE, KIND, key.kid, msgspec.json.encode(_Kept(key.serial, key.created_at, sealed)))


def _new(serial: int, now: float) -> SigningKey:
    return SigningKey(secrets.token_hex(8), serial, now, secrets.token_bytes(KEY_BYTES))
