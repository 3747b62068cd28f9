"""Digests: the names of bytes. Equal names mean equal bytes.

Source: OCI image-spec v1.1, descriptor.md, "Digests". Pure: no I/O, no clock, no logging.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mirror.oci.errors import DigestInvalid

if TYPE_CHECKING:
    from hashlib import _Hash

HEX_LENGTHS: Final = {"sha256": 64, "sha512": 128}
_MARKS: Final = {"sha256": b"\x01", "sha512": b"\x02"}
_ALGORITHMS: Final = {mark[0]: algorithm for algorithm, mark in _MARKS.items()}
_HEX: Final = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """The name of some bytes, printed `algorithm:hex`. Built by `parse_digest` or `digest_of`, never by hand."""

    algorithm: str
    hex: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"

    def key(self) -> bytes:
        """Return the digest as index bytes: one mark for the algorithm, then the raw digest (33 or 65 bytes)."""
        return _MARKS[self.algorithm] + bytes.fromhex(self.hex)


def parse_digest(text: str) -> Digest:
    """Read `sha256:<64 lower-case hex digits>` or `sha512:<128>`; anything else raises DigestInvalid."""
    algorithm, _, hex_digits = text.partition(":")
    length = HEX_LENGTHS.get(algorithm)
    if length is None:
        raise DigestInvalid(f"digest {text[:160]!r} has no known algorithm: sha256 or sha512 is wanted")
    if len(hex_digits) != length or not _HEX.fullmatch(hex_digits):
        raise DigestInvalid(f"digest {text[:160]!r} is not {algorithm} and {length} lower-case hex digits")
    return Digest(algorithm, hex_digits)


def digest_from_key(key: bytes) -> Digest:
    """Return the digest whose `key()` is `key`."""
    return Digest(_ALGORITHMS[key[0]], key[1:].hex())


def digest_of(data: bytes, algorithm: str = "sha256") -> Digest:
    """Name `data`."""
    return Digest(algorithm, hashlib.new(algorithm, data).hexdigest())


def hasher(algorithm: str) -> "_Hash":
    """Return a running hash of `algorithm`, one of HEX_LENGTHS."""
    return hashlib.new(algorithm)
