"""The headers of what the registry sends, but for `last_headers`: written once, for both lanes.

Source: OCI distribution-spec v1.1; RFC 9110. A list of pairs in the order in which they go out.
"""

import time
from email.utils import formatdate
from typing import Final

from mirror.oci import media

Headers = list[tuple[str, str]]

SERVER: Final = ("Server", "mirror")  # no version: nobody else's business
FOR_EVER: Final = "public, max-age=31536000, immutable"  # a digest never means other bytes
FOR_EVER_PRIVATE: Final = "private, max-age=31536000, immutable"  # RFC 9111: `public` would let others have it
CHECK: Final = "no-cache"  # a tag may mean other bytes tomorrow


def manifest_headers(digest: str, media_type: str, size: int, *, by_tag: bool, shared: bool) -> Headers:
    """Write the head of a manifest; `shared` tells whether everybody may have it, caches on the way too."""
    return _headers(digest, media_type, size, CHECK if by_tag else _for_ever(shared))


def blob_headers(digest: str, size: int, *, shared: bool) -> Headers:
    return _headers(digest, media.OCTETS, size, _for_ever(shared))


def _for_ever(shared: bool) -> str:
    return FOR_EVER if shared else FOR_EVER_PRIVATE


def _headers(digest: str, media_type: str, size: int, cache: str) -> Headers:
    return [
        ("Content-Type", media_type),
        ("Content-Length", str(size)),
        ("Docker-Content-Digest", digest),
        ("Docker-Distribution-Api-Version", "registry/2.0"),
        ("ETag", f'"{digest}"'),
        ("Accept-Ranges", "bytes"),
        ("Cache-Control", cache),
        ("X-Content-Type-Options", "nosniff"),
    ]


def last_headers() -> Headers:
    """Return the headers that end every answer."""
    return [("Date", _date()), SERVER]


_written: tuple[int, str] = (0, "")


def _date() -> str:
    """Write the time as RFC 9110 wants it, once a second."""
    global _written  # noqa: PLW0603 - a memo of one value; the loop is its only thread
    now = int(time.time())
    if _written[0] != now:
        _written = (now, formatdate(now, usegmt=True))
    return _written[1]
