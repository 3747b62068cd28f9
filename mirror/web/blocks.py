"""Header blocks: what the lines behind a request line mean for the express lane, judged once and remembered.

Source: RFC 9110 section 5; DESIGN section 4. Anything the least bit unusual is no business of that lane. Pure.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

LINES_MAX: Final = 64  # header lines; a usual request has ten

_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e]*)")
_HOST: Final = re.compile(rb"[A-Za-z0-9._-]+(?::[0-9]{1,5})?")
# Headers that change nothing about the answer. Any other one sends the request the normal way.
_HARMLESS: Final = frozenset(
    {
        b"host",
        b"user-agent",
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"connection",
        b"authorization",
        b"baggage",
        b"traceparent",
    }
)
_BODY: Final = frozenset({b"content-length", b"transfer-encoding", b"upgrade", b"expect", b"trailer", b"te"})
# Where a second one would change what the first one says, or is refused by the normal way.
_SINGLE: Final = frozenset({b"host", b"connection", b"user-agent", b"authorization"})


class Verdict(Enum):
    """What a block of header lines means for this lane."""

    EXPRESS = 1
    NORMAL = 2  # a plain request without a body that wants the normal way: a range, a condition
    OUT = 3  # what follows on this connection might not be a request: no express lane on it any more


@dataclass(frozen=True, slots=True)
class Block:
    """Header lines: what they mean for this lane, and who asks whom."""

    verdict: Verdict
    host: str = ""
    credential: str = ""


NORMAL: Final = Block(Verdict.NORMAL)
OUT: Final = Block(Verdict.OUT)


def judge(block: bytes) -> Block:
    seen: dict[bytes, bytes] = {}
    lines = block[2:-4].split(b"\r\n")
    if len(lines) > LINES_MAX:
        return OUT
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            return OUT
        name = match[1].lower()
        if name in _BODY or (name in _SINGLE and name in seen):
            return OUT
        seen[name] = match[2].strip()
    usual = _HARMLESS.issuperset(seen) and seen.get(b"connection", b"keep-alive").lower() == b"keep-alive"
    host = seen.get(b"host", b"")
    if not usual or not _HOST.fullmatch(host):
        return NORMAL
    return Block(Verdict.EXPRESS, host.decode(), seen.get(b"authorization", b"").decode())
