"""Signatures of our own tokens: JWS, HS256 only, under the node's own keys only.

Source: RFC 7515, RFC 8725 (best practices); RELIABILITY A19, A20, G19. A token's header must be, byte for byte, the
one that this node writes for a key it has: so there is no algorithm to confuse and no embedded key or key address to
follow. Nothing is decoded before the sizes, the alphabet and the one spelling of each segment are right.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from jwt import PyJWS
from jwt.exceptions import PyJWTError

from mirror.oci.errors import Unauthorized
from mirror.registry.identities.signing_keys import SigningKey, SigningKeys

ALGORITHM: Final = "HS256"
TOKEN_CHARS_MAX: Final = 7_168  # it has to fit a header line of 8 KiB, `Authorization: Bearer ` before it
HEADER_CHARS_MAX: Final = 256  # ours have 90
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_-]+")
_JWS: Final = PyJWS(algorithms=[ALGORITHM])


class Signatures:
    """Signs with the newest key, verifies with each accepted one."""

    def __init__(self, keys: SigningKeys) -> None:
        self._keys = keys

    def sign(self, payload: bytes) -> tuple[str, str]:
        """Return the compact form, `header.payload.signature`, and the `kid` of the key."""
        key = self._keys.current
        return _JWS.encode(payload, key.secret, algorithm=ALGORITHM, headers={"kid": key.kid}), key.kid

    def accepts(self, kid: str) -> bool:
        """Say whether what this key signed is still taken."""
        return self._keys.find(kid) is not None

    def verify(self, token: str) -> tuple[bytes, str]:
        """Return the payload of a token that we signed, and the `kid` of its key. Raises Unauthorized."""
        if len(token) > TOKEN_CHARS_MAX or token.count(".") != 2:
            raise Unauthorized("the token is not one of ours")
        header, payload, signature = token.split(".")
        key = self._key(header)
        if key is None or not (_is_canonical(payload) and _is_canonical(signature)):
            raise Unauthorized("the token is not one of ours")
        try:
            return _JWS.decode(token, key.secret, algorithms=[ALGORITHM]), key.kid
        except PyJWTError:
            raise Unauthorized("the token is not one of ours") from None

    def _key(self, header: str) -> SigningKey | None:
        """Return the key for which we write exactly this header."""
        if len(header) > HEADER_CHARS_MAX or not _is_canonical(header):
            return None
        return next((key for key in self._keys.accepted if _header(key) == header), None)


def _header(key: SigningKey) -> str:
    text = f'{{"alg":"{ALGORITHM}","kid":"{key.kid}","typ":"JWT"}}'
    return urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _is_canonical(segment: str) -> bool:
    """Tell whether a segment is base64url without padding, in its one spelling: spare bits must be zero."""
    if not _SEGMENT.fullmatch(segment) or len(segment) % 4 == 1:
        return False
    data = urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    return urlsafe_b64encode(data).rstrip(b"=").decode() == segment
