"""The gate: is this a request that may mean anything, and may this caller do it?

Everything is read from the raw target and checked before a name is made of it. No answer depends on the Host header
(RELIABILITY findings 5 and 6).
"""

import re
import time
from collections.abc import Collection
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web

from mirror.oci.errors import EncodingUnsupported, QueryInvalid, RequestInvalid, Unsupported
from mirror.registry.authority import Circumstances

QUERY_FIELDS_MAX: Final = 32  # regctl and docker send four at most
_HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


def read_target(request: web.BaseRequest) -> tuple[str, str]:
    """Split the raw target into path and query. Raises RequestInvalid for what no client of ours sends."""
    version = request.version
    if version < (1, 0):
        raise RequestInvalid("HTTP/0.9 is not spoken here")
    target = request.raw_path
    if not target.startswith("/"):
        raise RequestInvalid("the request target must be a path")
    host = request.headers.get("Host")
    if host is not None and not _HOST.fullmatch(host):
        raise RequestInvalid("the Host header is not a host")
    path, _, query = target.partition("?")
    return path, query.partition("#")[0]


def read_query(query: str) -> dict[str, str]:
    """Read a query: the last of equal fields counts, unknown ones are nobody's concern. Raises QueryInvalid."""
    return dict(_pairs(query))


def read_values(query: str, field: str) -> list[str]:
    """Return every value of a query field that may come several times. Raises QueryInvalid."""
    return [value for name, value in _pairs(query) if name == field]


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX, errors="strict")
    except ValueError as error:
        raise QueryInvalid(f"the query cannot be read: {error}") from None


def check_plain(request: web.BaseRequest) -> None:
    """Refuse a coded body: digests are over plain bytes, and unpacking is how a bomb goes off (finding 3)."""
    coding = ", ".join(request.headers.getall("Content-Encoding", ())).strip().lower()
    if coding not in ("", "identity"):
        raise EncodingUnsupported(f"Content-Encoding {coding[:40]!r}: send the bytes as they are")


def check_method(method: str, allowed: Collection[str], of: str) -> None:
    """Raise Unsupported, which tells what is allowed (RFC 9110 section 15.5.6), unless `method` is."""
    if method not in allowed:
        listed = ", ".join(allowed)
        raise Unsupported(f"{method[:20]} is not for {of}: {listed} are", headers={"Allow": listed})


def circumstances(request: web.BaseRequest) -> Circumstances:
    """Say of a request what conditions of policies may ask."""
    return Circumstances(
        source_ip=request.remote or "",
        user_agent=request.headers.get("User-Agent", ""),
        secure=request.secure,
        at=time.time(),
    )
