"""The Basic credential of a request, read strictly.

Source: RFC 7617; RELIABILITY A25: base64 that a lenient reader would also take is refused (junk skipped, spare bits
set), so is a NUL, a line end or a broken UTF-8 inside. Pure text in, pure text out.
"""

import base64
import binascii
from typing import Final

from mirror.oci.errors import Unauthorized

BASIC_CHARS_MAX: Final = 12_288  # an authorization token has 2 to 4 KiB; a header line cannot be much longer


def read_basic(encoded: str) -> tuple[str, str]:
    """Read what follows `Basic `: the user, and the password from behind the first colon. Raises Unauthorized."""
    if len(encoded) > BASIC_CHARS_MAX:
        raise Unauthorized("the Basic credential is too long")
    try:
        text = strict_base64(encoded).decode()
    except ValueError:
        raise Unauthorized("the Basic credential is not base64 of UTF-8 text") from None
    user, colon, password = text.partition(":")
    if not colon or not text.isprintable():
        raise Unauthorized("the Basic credential is not user:password without control characters")
    return user, password


def strict_base64(encoded: str) -> bytes:
    """Decode base64 with padding that has exactly one spelling. Raises ValueError for every other spelling."""
    try:
        data = base64.b64decode(encoded.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError("not base64") from None
    if base64.b64encode(data).decode() != encoded:
        raise ValueError("not the one spelling of this base64")
    return data
