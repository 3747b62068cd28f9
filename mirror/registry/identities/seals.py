"""Seals: secrets at rest are AES-256-GCM under a master key that lives in a file of its own.

Source: NIST SP 800-38D (random 96-bit nonces: fewer than 2^32 seals a key); RELIABILITY A24: the first start makes a
random key, nothing is built in. What a secret is of is authenticated with it: a sealed text moved to another owner does
not open. Never: writes over a key that is there, logs a key or what was sealed. Making and reading the file blocks.
"""

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mirror.store.disk import FILE_MODE, full_disk_refused, open_private, sync_directory

KEY_FILE: Final = "secrets.key"
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
_FORM: Final = b"\x01"  # of the sealed text, so that another cipher can come one day
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class SealsUnusable(OSError):
    """The master key's file cannot be used: others can read it, it holds no key, or not the one of this database."""


class SealBroken(Exception):
    """A sealed text that this master key did not seal, or not for this."""


class Seals:
    """What seals and opens under one master key."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, plain: bytes, of: str) -> bytes:
        """Seal `plain`; only the same `of` opens it."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return _FORM + nonce + self._cipher.encrypt(nonce, plain, of.encode())

    def open(self, sealed: bytes, of: str) -> bytes:
        """Return what was sealed. Raises SealBroken, with no word about it."""
        start = len(_FORM) + NONCE_BYTES
        if not sealed.startswith(_FORM) or len(sealed) < start:
            raise SealBroken(f"the sealed text of {of} is not one")
        try:
            return self._cipher.decrypt(sealed[len(_FORM) : start], sealed[start:], of.encode())
        except InvalidTag:
            raise SealBroken(f"the sealed text of {of} was not sealed with this node's key") from None


def open_seals(root: Path) -> Seals:
    """Read the master key under the storage root, or make it when there is none. Blocks. Raises SealsUnusable."""
    path = root / KEY_FILE
    if not path.exists():
        _make(path)
    mode = path.stat().st_mode
    if mode & _OTHERS:
        raise SealsUnusable(f"{path} can be read by others (mode {stat.S_IMODE(mode):04o}): give it mode 0600")
    with path.open("rb") as file:
        key = file.read(KEY_BYTES + 1)
    if len(key) != KEY_BYTES:
        raise SealsUnusable(f"{path} does not hold a key of {KEY_BYTES} bytes")
    return Seals(key)


def _make(path: Path) -> None:
    """Write a new key, whole or not at all: what is sealed under a half-written one is lost."""
    staged = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    with full_disk_refused():
        try:
            with open_private(staged) as file:
                file.write(secrets.token_bytes(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            # A link, not a rename: it fails where a key has appeared meanwhile, and that one is used.
            path.hardlink_to(staged)
        except FileExistsError:
            pass
        finally:
            staged.unlink(missing_ok=True)
        sync_directory(path.parent)


assert FILE_MODE & _OTHERS == 0  # else this node would refuse the key that it made
