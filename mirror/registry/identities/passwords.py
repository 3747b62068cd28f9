"""Passwords of users: scrypt off the loop, few at a time, and a short memory so that a pull of 40 blobs hashes once.

Source: RFC 7914 (n=2^14, r=8, p=1 takes 16 MiB and 50 ms); RELIABILITY A23: a user that is not there costs a hash too.
The memory holds keyed digests of what was right, for a minute, and nothing of what was wrong; its key dies with the
process. A changed password is another stored hash, so another entry. Never: keeps or logs a password.
"""

import asyncio
import hashlib
import hmac
import secrets
import time
from base64 import b64decode, b64encode
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from mirror.oci.errors import Unavailable

COST: Final = 2**14
BLOCK: Final = 8
PARALLEL: Final = 1
SALT_BYTES: Final = 16
HASH_BYTES: Final = 32
HASHING_MAX: Final = 2  # each takes a core and 16 MiB
WAITING_MAX: Final = 64  # 64 hashes are two seconds of two cores: who comes later comes again
MEMO_S: Final = 60.0
MEMO_ENTRIES_MAX: Final = 1_024


class Passwords:
    """Makes hashes and compares passwords with them. `cost` is scrypt's n."""

    def __init__(self, cost: int = COST) -> None:
        self._cost = cost
        self._turns = asyncio.Semaphore(HASHING_MAX)
        self._waiting = 0
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, float] = OrderedDict()
        self._nobody = _text(cost, secrets.token_bytes(SALT_BYTES), secrets.token_bytes(HASH_BYTES))
        self.turns = 0  # taken so far; nearly each of them is a hash

    async def hash(self, password: str) -> str:
        """Hash a new password. Raises Unavailable when too many wait."""
        salt = secrets.token_bytes(SALT_BYTES)
        async with self._turn():
            return _text(self._cost, salt, await asyncio.to_thread(_scrypt, password.encode(), self._cost, salt))

    async def matches(self, stored: str | None, password: str) -> bool:
        """Say whether `password` is the one that was hashed; with None for a user that has none: no, after as long.

        Raises Unavailable when too many wait.
        """
        known = stored or self._nobody
        mark = self._mark(known, password)
        if self._remembers(mark):
            return True
        cost, salt, wanted = _read(known)
        async with self._turn():
            # Somebody who waited for the same turn may just have found this very pair to be right.
            if self._remembers(mark):
                return True
            found = await asyncio.to_thread(_scrypt, password.encode(), cost, salt)
        if not hmac.compare_digest(found, wanted) or stored is None:
            return False
        self._remember(mark)
        return True

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._waiting >= WAITING_MAX:
            raise Unavailable("too many logins at once", headers={"Retry-After": "2"})
        self._waiting += 1
        try:
            async with self._turns:
                self.turns += 1
                yield
        finally:
            self._waiting -= 1

    def _mark(self, stored: str, password: str) -> bytes:
        return hashlib.blake2b(f"{stored}\0{password}".encode(), key=self._key, digest_size=32).digest()

    def _remembers(self, mark: bytes) -> bool:
        until = self._right.get(mark)
        if until is not None and time.monotonic() >= until:
            del self._right[mark]
            return False
        return until is not None

    def _remember(self, mark: bytes) -> None:
        self._right[mark] = time.monotonic() + MEMO_S
        if len(self._right) > MEMO_ENTRIES_MAX:
            self._right.popitem(last=False)


def _scrypt(password: bytes, cost: int, salt: bytes) -> bytes:
    memory_bytes_max = 2 * 128 * BLOCK * cost + 1024 * 1024
    return hashlib.scrypt(password, salt=salt, n=cost, r=BLOCK, p=PARALLEL, dklen=HASH_BYTES, maxmem=memory_bytes_max)


def _text(cost: int, salt: bytes, digest: bytes) -> str:
    return f"scrypt${cost}${b64encode(salt).decode()}${b64encode(digest).decode()}"


def _read(stored: str) -> tuple[int, bytes, bytes]:
    _, cost, salt, digest = stored.split("$")
    return int(cost), b64decode(salt), b64decode(digest)
